"""What reading an export into events costs, beside reading the same file with the standard library and no more.

Writing is not counted: it is one put an event, as of any webhook, and its way through boto3 alone takes some
twenty-five times as long as reading it.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from infra.exports import LeftOut
from shared.events import CommunityEvent
from tests.bench.rows import Row, cpu, in_turns
from tests.builders import ROOT, at
from tests.exports import told

MESSAGES = 300_000
"""Of the largest file, which is Telegram's; the others have a tenth."""

SOME = 10_000
"""Events that are made again for what making them costs."""

RUNS = 5
MOST_MB = 300
NOW = at("2030-06-01T12:00Z")
START = at("2029-06-01T00:00Z")
PEOPLE = 5_000
WORDS = ("has anybody tried hide glue on old oak boards before", "winter and how long did it take", "to dry")


def rows() -> Iterator[Row]:
    """Each platform's export. Memory is of a process of its own, which reads that file and no more."""
    with tempfile.TemporaryDirectory() as folder:
        for platform, (write, plain) in EXPORTS.items():
            yield _row(platform, write(Path(folder)), plain)


def _row(platform: str, path: Path, plain: Callable[[Path], object]) -> Row:
    """One export's row, per event; and how much of ours it takes to make the events alone, of what is read already."""
    apart = subprocess.run(
        [sys.executable, "-m", __name__, platform, path], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    events, peak = map(int, apart.stdout.split())
    assert peak <= MOST_MB, f"{platform}: {peak} MB"
    ours, other = in_turns(
        lambda: cpu(lambda: deque(_read(platform, path), maxlen=0)), lambda: cpu(lambda: plain(path)), runs=RUNS
    )
    return Row(
        name="import" if platform == "telegram" else f"import {platform}",
        ours=ours / events * 1e6,
        other=other / events * 1e6,
        unit="us an event",
        other_is="the same file read by csv" if platform == "discourse" else "the same file read by json",
        runs=RUNS,
        most=3,
        facts={
            "events": events,
            "a second": round(events / ours),
            "file": f"{path.stat().st_size / 1e6:.0f} MB",
            "peak": f"{peak} MB (may be {MOST_MB})",
            "making the events alone": f"{_making(platform, path) * 1e6:.1f} us",
        },
    )


def _read(platform: str, path: Path) -> Iterator[CommunityEvent]:
    return (one for one in told(platform, [path], NOW) if not isinstance(one, LeftOut))


def _making(platform: str, path: Path) -> float:
    """Seconds of CPU that pydantic takes to check one event, of fields that are read already."""
    fields = [(type(one), dict(one)) for one in islice(_read(platform, path), SOME)]
    return min(cpu(lambda: deque((kind(**one) for kind, one in fields), maxlen=0)) for _ in range(RUNS)) / len(fields)


def _peak() -> int:
    """MB at the peak of this process, which Linux tells; what else tells it counts the parent in."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


# --- made-up exports, in the shape and with the fields of real ones --------------------------------


def _said(count: int) -> Iterator[tuple[int, int, datetime, str]]:
    """Number, person, moment and words of so many messages."""
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    for number in range(1, count + 1):
        text = " ".join(chance.choices(WORDS, k=chance.randrange(1, 5)))
        mark = chance.choice(("", "", "", "?", " 👍", " https://example.com/a"))
        yield number, chance.randrange(PEOPLE), START + timedelta(seconds=60 * number), text + mark


def _telegram(folder: Path) -> Path:
    path = folder / "result.json"
    with path.open("w", encoding="utf-8") as file:
        file.write('{\n "name": "Makers",\n "type": "public_supergroup",\n "id": 1234567890,\n "messages": [\n')
        for number, person, moment, text in _said(MESSAGES):
            message = {
                "id": number,
                "type": "message",
                "date": moment.strftime("%Y-%m-%dT%H:%M:%S"),
                "date_unixtime": str(int(moment.timestamp())),
                "from": f"Member {person}",
                "from_id": f"user{person}",
                "text": text,
                "text_entities": [{"type": "plain", "text": text}],
            }
            if number % 2:
                message["reply_to_message_id"] = number // 2
            file.write(("" if number == 1 else ",\n") + json.dumps(message, ensure_ascii=False, indent=1))
        file.write("\n ]\n}")
    return path


def _discord(folder: Path) -> Path:
    messages = []
    for number, person, moment, text in _said(MESSAGES // 10):
        message: dict[str, Any] = {
            "id": str(10**17 + number),
            "type": "Reply" if number % 2 else "Default",
            "timestamp": moment.isoformat(timespec="milliseconds"),
            "timestampEdited": None,
            "callEndedTimestamp": None,
            "isPinned": False,
            "content": text,
            "author": {
                "id": str(10**16 + person),
                "name": f"member{person}",
                "discriminator": "0000",
                "nickname": f"Member {person}",
                "color": "#3498DB",
                "isBot": False,
                "roles": [{"id": "1", "name": "Maker", "color": "#3498DB", "position": 3}],
                "avatarUrl": "https://cdn.example.com/avatars/0123456789abcdef0123456789abcdef.png?size=512",
            },
            "attachments": [],
            "embeds": [],
            "stickers": [],
            "reactions": [],
            "mentions": [],
            "inlineEmojis": [],
        }
        if number % 2:
            message["reference"] = {"type": "Default", "messageId": str(10**17 + number // 2), "channelId": "201"}
        messages.append(message)
    channel = {"id": "201", "type": "GuildTextChat", "categoryId": "200", "category": "Talk", "name": "tools"}
    path = folder / "tools.json"
    path.write_text(json.dumps({"channel": channel, "messages": messages}, indent=2, ensure_ascii=False), "utf-8")
    return path


def _slack(folder: Path) -> Path:
    users = [
        {
            "id": f"U{person}",
            "name": f"member{person}",
            "deleted": False,
            "is_bot": False,
            "updated": int(START.timestamp()),
            "tz": "Europe/Berlin",
            "profile": {"real_name": f"Member {person}", "email": f"m{person}@example.com"},
        }
        for person in range(PEOPLE)
    ]
    days: dict[str, list[dict[str, Any]]] = {}
    for number, person, moment, text in _said(MESSAGES // 10):
        block = {"type": "rich_text", "block_id": "x", "elements": [{"type": "text", "text": text}]}
        message = {
            "user": f"U{person}",
            "type": "message",
            "ts": f"{int(moment.timestamp())}.{number % 1000000:06}",
            "client_msg_id": f"00000000-0000-0000-0000-{number:012}",
            "text": text,
            "team": "T1",
            "user_team": "T1",
            "source_team": "T1",
            "user_profile": {"real_name": f"Member {person}", "name": f"member{person}", "is_restricted": False},
            "blocks": [block],
        }
        days.setdefault(f"general/{moment.date()}.json", []).append(message)
    path = folder / "export.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("users.json", json.dumps(users))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "general", "is_general": True}]))
        for name, messages in days.items():
            archive.writestr(name, json.dumps(messages))
    return path


def _discourse(folder: Path) -> Path:
    path = folder / "user_list.csv"
    heads = "id,name,username,email,title,created_at,last_seen_at,last_posted_at,last_emailed_at,trust_level,approved,"
    heads += "suspended_at,suspended_till,silenced_till,active,admin,moderator,ip_address,staged,topics_entered,"
    heads += "posts_read_count,time_read,topic_count,post_count,likes_given,likes_received,"
    heads += "location,website,views,group_names"
    when = START.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = (
        f"{number},Member {number},member{number},m{number}@example.com,,{when},{when},{when},{when},1,true,,,,true,"
        f"false,false,,false,3,4,5,6,7,8,9,,,10,makers;members"
        for number in range(1, MESSAGES // 10)
    )
    path.write_text("\n".join([heads, *lines]), encoding="utf-8")
    return path


def _lines(folder: Path) -> Path:
    path = folder / "events.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, person, moment, text in _said(MESSAGES // 10):
            said = {"actor": {"id": str(person)}, "platform": "circle", "object": f"p{number}", "text": text}
            event = {"id": f"m{number}", "type": "post.created", "timestamp": moment.isoformat(), "data": said}
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
    return path


def _by_json(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


def _by_json_from_zip(path: Path) -> object:
    with ZipFile(path) as archive:
        return deque((json.loads(archive.read(name)) for name in archive.namelist()), maxlen=0)


def _by_json_line_by_line(path: Path) -> object:
    with path.open(encoding="utf-8") as file:
        return deque(map(json.loads, file), maxlen=0)


def _by_csv(path: Path) -> object:
    with path.open(encoding="utf-8", newline="") as file:
        return deque(csv.DictReader(file), maxlen=0)


EXPORTS: Mapping[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "telegram": (_telegram, _by_json),
    "discord": (_discord, _by_json),
    "slack": (_slack, _by_json_from_zip),
    "discourse": (_discourse, _by_csv),
    "events": (_lines, _by_json_line_by_line),
}

if __name__ == "__main__":
    print(sum(1 for _ in _read(sys.argv[1], Path(sys.argv[2]))), _peak())
