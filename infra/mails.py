"""Compiles the mails when the bundle is built: MJML in its frame becomes HTML that is a plain Jinja template.

Checks what a writer can get wrong, so that nothing of it is found out when a mail is due.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from mjml import mjml2html
from pydantic import ValidationError

from shared.errors import UsageError
from shared.figures import FIGURES
from shared.mail import Content, Frame, Personal, environment
from shared.playbook import Written
from shared.wording import Wording

PARTS = ("preheader.txt", "txt", "mjml")
"""The files of a mail in one language, each `<locale>.<part>`, beside its `subject.txt` or one of each variant."""

MJML_TAGS = frozenset(
    {
        *("mjml", "mj-head", "mj-title", "mj-preview", "mj-attributes", "mj-all", "mj-class", "mj-style", "mj-raw"),
        *("mj-body", "mj-wrapper", "mj-section", "mj-group", "mj-column"),
        *("mj-text", "mj-button", "mj-table", "mj-divider", "mj-spacer"),
    }
)
"""What a mail may be made of. The compiler silently drops tags that it does not know."""

_NOT_MAILS = ("layout", "wording")
_TAG = re.compile(r"<(/?)(mj[a-z-]*)\b([^>]*?)(/?)>")
_JINJA = re.compile(r"{{.*?}}|{%.*?%}", re.DOTALL)
_INLINE_STYLE = re.compile(r'<mj-style inline="inline">(.*?)</mj-style>', re.DOTALL)
_CSS_RULE = re.compile(r"\.([\w-]+)\s*{([^}]*)}")
_CLASSED = re.compile(r'<(?!/)[a-z]+\b[^>]*?\bclass="([^"]*)"[^>]*>')


def written(source: Path) -> dict[str, Written]:
    """The mails that are written below `source`; for `shared.playbook.load`. UsageError where one is no template."""
    folders = sorted(folder for folder in source.iterdir() if folder.is_dir() and folder.name not in _NOT_MAILS)
    return {folder.name: _written(folder) for folder in folders if list(folder.glob("*.mjml"))}


def _written(folder: Path) -> Written:
    variants: dict[str, set[str]] = {}
    for file in folder.glob("*.subject.*.txt"):
        locale, _, variant, _ = file.name.split(".")
        variants.setdefault(variant, set()).add(locale)
    return Written(
        locales=frozenset(file.stem for file in folder.glob("*.mjml")),
        parts=frozenset(part for file in folder.iterdir() for part in _left_out(file)),
        variants={name: frozenset(variants[name]) for name in sorted(variants)},
    )


def _left_out(file: Path) -> Iterator[str]:
    """The parts that a template leaves out when it is told to: every `"part" in leave_out`."""
    try:
        tree = environment(file.parent).parse(file.read_text(encoding="utf-8"))
    except TemplateSyntaxError as exc:
        raise UsageError(f"{file}: {exc.message}") from exc
    for compared in tree.find_all(nodes.Compare):
        asked = any(isinstance(one.expr, nodes.Name) and one.expr.name == "leave_out" for one in compared.ops)
        if asked and isinstance(compared.expr, nodes.Const):
            yield str(compared.expr.value)


def compile_mails(source: Path, out: Path) -> None:
    """Compile every mail of `source` into `out`, which the functions read: `<mail>/<locale>.html` and its text parts.

    The same source gives the same bytes. UsageError, in one sentence that names the file, when something is wrong.
    """
    frames = _frames(source)
    for mail, found in written(source).items():
        for locale in sorted(found.locales):
            wording = _wording(source, locale)
            values = {"locale": locale, "words": wording.layout}
            for name, text in _compiled(frames, source, f"{mail}/{locale}", values).items():
                _write(out / name, text)
            _write(out / "wording" / f"{locale}.json", wording.model_dump_json(indent=1) + "\n")


def _compiled(frames: Environment, source: Path, name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The templates of one mail in one language (`welcome/en`), by the name they get."""
    for part in PARTS:
        if not (source / f"{name}.{part}").is_file():
            raise UsageError(f"{source / name}.{part}: is missing")
    lines = [*_subjects(source, name), f"{name}.preheader.txt"]
    compiled = {line: _filled(frames, source, line, values) for line in lines}
    compiled[f"{name}.txt"] = _filled(frames, source, "layout/layout.txt", {**values, "body": f"{name}.txt"})
    compiled[f"{name}.html"] = _html(frames, source, f"{name}.mjml", values)
    known = _given_to(Path(name).parent.name)
    for template, text in compiled.items():
        written_in = source / template.replace(".html", ".mjml")
        _check_names(written_in, text, known if template in lines else known | _given(Frame))
    return compiled


def _subjects(source: Path, name: str) -> list[str]:
    """The files of a mail's subjects in one language: one, or one of each variant."""
    one, variants = f"{name}.subject.txt", sorted((source / name).parent.glob(f"{Path(name).name}.subject.*.txt"))
    if variants and (source / one).is_file():
        raise UsageError(f"{source / one}: has no place beside {variants[0].name}: a mail has one subject or variants")
    if not variants and not (source / one).is_file():
        raise UsageError(f"{source / one}: is missing")
    return [str(file.relative_to(source)) for file in variants] or [one]


def _wording(source: Path, locale: str) -> Wording:
    file = source / "wording" / f"{locale}.json"
    try:
        return Wording.model_validate_json(file.read_bytes())
    except OSError as exc:
        raise UsageError(f"{file}: is missing") from exc
    except ValidationError as exc:
        wrong = exc.errors()[0]
        raise UsageError(f"{file}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from exc


def _frames(source: Path) -> Environment:
    """What fills the frame in: its own delimiters, so that the mail's `{{ }}` are left for the day it is rendered."""
    # This makes MJML of our own files; what a member brings is escaped when it is rendered.
    return Environment(  # noqa: S701 # nosec B701
        loader=FileSystemLoader(source),
        undefined=StrictUndefined,
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _filled(frames: Environment, source: Path, template: str, values: Mapping[str, Any]) -> str:
    try:
        return frames.get_template(template).render(values)
    except TemplateSyntaxError as exc:
        raise UsageError(f"{source / (exc.name or template)}: line {exc.lineno}: {exc.message}") from exc
    except TemplateError as exc:
        raise UsageError(f"{source / values.get('body', template)}: {exc.message}") from exc


def _html(frames: Environment, source: Path, body: str, values: Mapping[str, Any]) -> str:
    for file in (source / body, *sorted((source / "layout").glob("*.mjml"))):
        _check_tags(file, file.read_text(encoding="utf-8"))
    mjml = _filled(frames, source, "layout/layout.mjml", {**values, "body": body})
    rules = {name: _tidy(css) for block in _INLINE_STYLE.findall(mjml) for name, css in _CSS_RULE.findall(block)}
    try:
        html = mjml2html(_INLINE_STYLE.sub("", mjml), disable_comments=True, fonts={})
    except ValueError as exc:
        raise UsageError(f"{source / body}: is not MJML: {exc}") from exc
    lost = [part for part in _JINJA.findall(mjml) if part not in html]
    if lost:
        raise UsageError(f"{source / body}: {lost[0]} stands where MJML drops it; text belongs into an mj-text")
    return _inlined(html, rules)


def _check_tags(file: Path, text: str) -> None:
    """Every MJML tag is known, and closed where it was opened."""
    opened: list[tuple[str, int]] = []
    for tag in _TAG.finditer(text):
        closing, name, _, empty = tag.groups()
        line = text.count("\n", 0, tag.start()) + 1
        if name not in MJML_TAGS:
            raise UsageError(
                f"{file}: line {line}: <{name}> is no tag we use; there are {', '.join(sorted(MJML_TAGS))}"
            )
        if closing and (not opened or opened.pop()[0] != name):
            raise UsageError(f"{file}: line {line}: </{name}> closes what is not open")
        if not closing and not empty:
            opened.append((name, line))
    if opened:
        raise UsageError(f"{file}: line {opened[-1][1]}: <{opened[-1][0]}> is never closed")


def _inlined(html: str, rules: Mapping[str, str]) -> str:
    """Write the rules of classes into the tags that have them, as MJML's `inline` promises: clients drop styles."""

    def styled(tag: re.Match[str]) -> str:
        css = " ".join(rules[name] for name in tag[1].split() if name in rules)
        if not css:
            return tag[0]
        if ' style="' in tag[0]:
            return tag[0].replace(' style="', f' style="{css} ', 1)
        return f'{tag[0].rstrip("/>").rstrip()} style="{css}">'

    return _CLASSED.sub(styled, html)


def _tidy(css: str) -> str:
    return " ".join(css.replace('"', "'").split())


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _check_names(file: Path, text: str, known: Mapping[str, Any]) -> None:
    """The template is sound Jinja, and every name in it, down to its attributes, is one that a mail is given."""
    templates = environment(file.parent)
    try:
        tree = templates.parse(text)
        named = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as exc:
        raise UsageError(f"{file}: {exc.message}") from exc
    for unknown in sorted(named - known.keys()) or _unknown_attributes(tree, known):
        raise UsageError(f"{file}: {unknown!r} is not given to a mail; what is given: {', '.join(sorted(known))}")


def _given_to(mail: str) -> dict[str, Any]:
    """What a mail may name, with its types; figures only where it is given some."""
    known = _given(Content) | _given(Personal)
    del known["figures"]
    return known | ({"figures": get_type_hints(FIGURES[mail])["return"]} if mail in FIGURES else {})


def _given(part: type) -> dict[str, Any]:
    """What a part of the values names, with its type; what may be missing is asked for before it is named."""
    return {name: _present(kind) for name, kind in get_type_hints(part).items()}


def _present(kind: Any) -> Any:  # noqa: ANN401 - a type hint is whatever it is
    present = [one for one in get_args(kind) if one is not NoneType]
    return present[0] if isinstance(kind, UnionType) and len(present) == 1 else kind


def _unknown_attributes(node: nodes.Node, known: Mapping[str, Any]) -> Iterator[str]:
    """The attributes below `node` that what they are asked of does not have."""
    if isinstance(node, nodes.Getattr) and _type_of(node, known) is None:
        yield f"{node.node.name if isinstance(node.node, nodes.Name) else '...'}.{node.attr}"
        return
    if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
        known = {**known, node.target.name: _element(_type_of(node.iter, known))}
    for child in node.iter_child_nodes():
        yield from _unknown_attributes(child, known)


def _type_of(node: nodes.Node, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a type hint is whatever it is
    """The type of an expression, Any where it cannot be told, None where there is no such attribute."""
    if isinstance(node, nodes.Name):
        return known.get(node.name, Any)
    if isinstance(node, nodes.Getitem):
        return _element(_type_of(node.node, known))
    if isinstance(node, nodes.Getattr):
        owner = _type_of(node.node, known)
        return Any if owner in (Any, None) else _present(get_type_hints(owner).get(node.attr))
    return Any


def _element(kind: Any) -> Any:  # noqa: ANN401 - as above
    return (get_args(kind) or (Any,))[0]
