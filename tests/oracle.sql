-- Every figure of every period, straight from the list of events: an independent reading of the definitions.
-- Given: event, person (identity -> who they are, and whether they are counted), period, term (the playbook's numbers),
-- brought (who was attributed to a referrer, and on which day). Shares no code with what it checks.

create macro within(x, low, high) as case when x < low then low when x > high then high else x end;

create table did as
select e.*, p.who
from event e join person p on p.identity = e.platform || ':' || e.actor
where p.counts and e.actor <> 'community';

create table calendar as
select unnest(generate_series((select min(day) from event) - 1, (select max(last) from period), interval 1 day))::date as day;

create table active as
select distinct day, who from did
where type in ('post.created', 'comment.created', 'reaction.added', 'event.attended', 'survey.answered', 'answer.accepted');

create table present as
select day, who, max(happened) as last from did
where type = 'member.joined' or (day, who) in (select (day, who) from active) and type in
    ('post.created', 'comment.created', 'reaction.added', 'event.attended', 'survey.answered', 'answer.accepted')
group by all;

create table departed as
select l.day, l.who
from (select day, who, max(happened) as last from did where type = 'member.left' group by all) l
left join present p using (day, who)
where p.last is null or p.last <= l.last;

-- Whether somebody was a member when a day ended is what the last day said on which they were heard of.
create table word as
select day, who, not exists (from departed d where d.day = h.day and d.who = h.who) as stays
from (select day, who from present union select day, who from departed) h;

create table member as
select c.day, w.who
from calendar c join word w on w.day <= c.day
group by all
having arg_max(w.stays, w.day);

create table newcomer as
select distinct j.day, j.who
from did j
where j.type = 'member.joined' and not coalesce(j."returning", false)
and not exists (from member m where m.who = j.who and m.day = j.day - 1);

create table gone as
select d.day, d.who from departed d
where exists (from member m where m.who = d.who and m.day = d.day - 1)
or exists (from present p where p.who = d.who and p.day = d.day);

create table lapsed as
select m.day, m.who from member m, term t
where exists (from present p where p.who = m.who and p.day = m.day - t.inactive_days)
and not exists (from present p where p.who = m.who and p.day > m.day - t.inactive_days and p.day <= m.day);

create table returned as
select a.day, a.who from active a, term t
where exists (from member m where m.who = a.who and m.day = a.day - 1)
and not exists (from present p where p.who = a.who and p.day >= a.day - t.inactive_days and p.day < a.day);

create table thread as
select platform || ':' || object as key, min(day) as day, min(happened) as opened, arg_min(who, happened) as who
from did where type = 'post.created' and object is not null group by all;

create table wait as
select t.day, greatest(0, floor(epoch(min(r.happened) - t.opened)))::bigint as seconds
from thread t join did r on r.type = 'comment.created' and r.platform || ':' || r.parent = t.key and r.who <> t.who and r.day >= t.day
group by t.key, t.day, t.opened
having min(r.happened) - t.opened <= interval 168 hours;

create table bought as
select d.day, d.currency, d.amount,
    exists (from active a where a.who = d.who and a.day >= d.day - 90 and a.day < d.day) as influenced,
    exists (from brought b where b.who = d.who) as sourced
from did d where d.type = 'purchase.made';

create table figure as
with base as (
    select p.*,
        (select count(*) from member m where m.day = p.last) as members,
        (select count(*) from member m where m.day = p.first - 1) as members_before,
        (select count(distinct who) from newcomer n where n.day between p.first and p.last) as new_members,
        (select count(distinct who) from gone g where g.day between p.first and p.last) as members_left,
        (select count(distinct who) from lapsed l where l.day between p.first and p.last) as lapsed,
        (select count(distinct who) from (select day, who from gone union select day, who from lapsed) c
            where c.day between p.first and p.last) as churned,
        (select count(distinct who) from returned r where r.day between p.first and p.last) as win_backs,
        (select count(distinct who) from active a where a.day between p.first and p.last) as active,
        (select count(*) from active a where a.day between p.first and p.last) / (p.last - p.first + 1) as dau,
        (select count(distinct who) from active a where a.day between p.last - 6 and p.last) as wau,
        (select count(distinct who) from active a where a.day between p.last - 29 and p.last) as mau,
        (select count(distinct who) from active a where a.day between p.before_first and p.before_last) as active_before,
        (select count(distinct a.who) from active a where a.day between p.first and p.last and a.who in
            (select who from active b where b.day between p.before_first and p.before_last)) as active_in_both,
        (select count(*) from did where type = 'post.created' and day between p.first and p.last) as posts,
        (select count(*) from did where type = 'comment.created' and day between p.first and p.last) as comments,
        (select count(*) from did where type = 'reaction.added' and day between p.first and p.last) as reactions,
        (select count(*) from thread t where t.day between p.first and p.last) as threads,
        (select list(seconds order by seconds) from wait w where w.day between p.first and p.last) as waits,
        (select count(*) from did where type = 'survey.answered' and day between p.last - 89 and p.last) as nps_answers,
        (select count(*) from did where type = 'survey.answered' and score >= 9 and day between p.last - 89 and p.last) as fans,
        (select count(*) from did where type = 'survey.answered' and score <= 6 and day between p.last - 89 and p.last) as critics,
        (select count(*) from did where sentiment is not null and day between p.first and p.last
            and type in ('post.created', 'comment.created', 'reaction.added')) as sentiments,
        (select count(*) from did where sentiment = 'positive' and day between p.first and p.last
            and type in ('post.created', 'comment.created', 'reaction.added')) as positive,
        (select count(distinct (day, platform, coalesce(parent, object, id))) from did
            where type = 'answer.accepted' and day between p.first and p.last) as deflected,
        (select count(*) from did where type = 'ticket.opened' and day between p.first and p.last) as tickets,
        (select count(*) from did where type = 'feedback.implemented' and day between p.first and p.last) as feedback_implemented,
        (select count(*) from brought b where b.day between p.first and p.last) as referral_signups
    from period p
),
cohort as (
    select p.kind, p.first, after,
        count(*) as joined,
        count(*) filter (where exists (from active a where a.who = n.who and a.day = n.day + after)) as came
    from period p, (select unnest([1, 7, 30]) as after), newcomer n
    where n.day + after between p.first and p.last
    group by all
)
select b.*,
    churned / nullif(members_before, 0) as churn_rate,
    new_members / nullif(members_before, 0) as growth_rate,
    dau / nullif(mau, 0) as stickiness,
    (posts + comments) / nullif(members, 0) as engagement_rate,
    posts / nullif(members, 0) as posts_per_member,
    active_in_both / nullif(active_before, 0) as retention,
    (select came / joined from cohort c where c.kind = b.kind and c.first = b.first and after = 1) as cohort_d1,
    (select came / joined from cohort c where c.kind = b.kind and c.first = b.first and after = 7) as cohort_d7,
    (select came / joined from cohort c where c.kind = b.kind and c.first = b.first and after = 30) as cohort_d30,
    coalesce(len(waits), 0) / nullif(threads, 0) as response_rate,
    list_aggregate(waits, 'median') as ttfr_median,
    waits[ceil(0.9 * len(waits))::int] as ttfr_p90,
    100 * (fans - critics) / nullif(nps_answers, 0) as nps,
    positive / nullif(sentiments, 0) as sentiment,
    deflected / nullif(deflected + tickets, 0) as support_deflection,
    within(100 * (active / nullif(members, 0)), 0, 100) as health_engagement,
    within(100 * ((new_members - churned) / nullif(members, 0)), -100, 100) as health_growth,
    100 * (positive / nullif(sentiments, 0)) as health_sentiment,
    within((t.engagement * coalesce(health_engagement, 0) + t.growth * coalesce(health_growth, 0)
            + t.sentiment * coalesce(health_sentiment, 0))
        / nullif(if(health_engagement is null, 0, t.engagement) + if(health_growth is null, 0, t.growth)
            + if(health_sentiment is null, 0, t.sentiment), 0), 0, 100) as health
from base b, term t;
