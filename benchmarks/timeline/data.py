"""An invented city's history of any size, made inside PostgreSQL.

Thirteen months; ten touchpoints a citizen; one citizen with 10 addresses and a hundredth of everything (a
hundred thousand at ten million). Sentences are drawn from a vocabulary in which, as in any language, few
words are everywhere and most are rare.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg

from contact_hub.timeline.words import configuration, searchable

BUSY = 1  # the number of the citizen with ten addresses
BUSY_ADDRESSES = 10
COMMON = {"please": 0.33, "street": 0.25, "collection": 0.2}  # and the share of sentences they are in
SENTENCES = 20_000
VOCABULARY = 20_000
BATCH = 250_000
CHANNELS = ("sms", "telegram", "web_chat")

_SYLLABLES = (
    *("ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du", "ka", "ke", "ki", "ko", "ku"),
    *("la", "le", "li", "lo", "lu", "ma", "me", "mi", "mo", "mu", "na", "ne", "ni", "no", "nu"),
)
_GERMAN = ("bitte", "strasse", "mülltonne", "abholung", "rathaus", "ausweis", "antrag", "gebühr", "baum")
_CHINESE = "请问垃圾什么时候收集街道路灯坏了停车许可证多少钱市政厅电话号码"


def make(connection: psycopg.Connection, touchpoints: int) -> None:
    """Fill a migrated, empty database."""
    citizens = max(touchpoints // 10, 100)
    connection.execute("SET session_replication_role = replica")  # foreign keys hold by construction
    connection.execute("SET synchronous_commit = off")
    _sentences(connection)
    _people(connection, citizens)
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'touchpoint' AND indexname LIKE 'ix_%'"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute(
        "SELECT ensure_touchpoint_partition((date_trunc('month', now()) - make_interval(months => m))::date)"
        " FROM generate_series(0, 13) AS m"
    )
    for first in range(1, touchpoints + 1, BATCH):
        last = min(first + BATCH - 1, touchpoints)
        connection.execute(
            _TOUCHPOINTS, {"first": first, "last": last, "all": touchpoints, "people": citizens}
        )
    for _, definition in indexes:
        connection.execute(definition.replace(" ON ONLY ", " ON "))
    connection.execute(_ANSWERS)
    connection.execute(_DELIVERIES)
    connection.execute("RESET session_replication_role")
    connection.execute("VACUUM (ANALYZE)")


def person(number: int) -> str:
    """The id of a citizen."""
    return f"00000000-0000-7000-8000-{number:012x}"


def _sentences(connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE UNLOGGED TABLE sentence (number int PRIMARY KEY, language text, text text, words tsvector)"
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO sentence VALUES (%s, %s, %s, to_tsvector(%s::regconfig, %s))",
            (
                (n, language, text, configuration(language), searchable(text))
                for n, (language, text) in enumerate(_invented())
            ),
        )


def _invented() -> Iterator[tuple[str, str]]:
    dice = random.Random(7)
    vocabulary = sorted(
        {"".join(dice.choices(_SYLLABLES, k=dice.choice((2, 3, 3, 4)))) for _ in range(VOCABULARY)}
    )
    dice.shuffle(vocabulary)
    weights = [1 / (rank + 20) for rank in range(len(vocabulary))]
    for n in range(SENTENCES):
        words = dice.choices(vocabulary, weights, k=dice.randint(5, 20))
        words += [word for word, share in COMMON.items() if dice.random() < share]
        dice.shuffle(words)
        if n % 50 == 1:
            yield "zh", "".join(dice.choices(_CHINESE, k=dice.randint(6, 30)))
        elif n % 20 == 2:
            yield "de", " ".join([*words, *dice.choices(_GERMAN, k=4)])
        else:
            yield "en", " ".join(words).capitalize() + "."


def _people(connection: psycopg.Connection, citizens: int) -> None:
    connection.execute(
        """
        INSERT INTO citizen (id, created_at, language, name)
        SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
               now() - interval '400 days', 'en',
               (ARRAY['Maria', 'Ahmed', 'Łukasz', 'Aoife', 'José'])[1 + n %% 5] || ' ' || to_hex(n)
        FROM generate_series(1, %(people)s) AS n
        """,
        {"people": citizens},
    )
    # Address number n belongs to citizen n; the busy one has nine more behind them.
    connection.execute(
        """
        INSERT INTO address (id, citizen_id, channel, value, created_at, reachable)
        SELECT ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
               ('00000000-0000-7000-8000-'
                || lpad(to_hex(CASE WHEN n > %(people)s THEN 1 ELSE n END), 12, '0'))::uuid,
               (ARRAY['sms', 'telegram', 'web_chat'])[1 + n %% 3],
               CASE n %% 3 WHEN 0 THEN '+3538' || lpad(n::text, 8, '0') WHEN 1 THEN (500000000 + n)::text
                    ELSE '00000000-0000-7000-c000-' || lpad(to_hex(n), 12, '0') END,
               now() - interval '400 days', true
        FROM generate_series(1, %(people)s + 9) AS n
        """,
        {"people": citizens},
    )
    connection.execute(
        """
        INSERT INTO conversation (id, address_id, state, epoch, language, language_fixed, priority, given_up,
                                  opened_at, last_activity_at, waiting_since, department)
        SELECT ('00000000-0000-7000-a000-' || right(id::text, 12))::uuid, id,
               CASE WHEN ('x' || right(id::text, 6))::bit(24)::int % 5000 = 17 THEN 'waiting'
                    WHEN ('x' || right(id::text, 6))::bit(24)::int % 30 = 3 THEN 'bot' ELSE 'closed' END,
               0, 'en', false, 0, '[]', now(), now(), now(),
               CASE WHEN ('x' || right(id::text, 6))::bit(24)::int % 5000 = 17 THEN 'waste' END
        FROM address
        """
    )
    connection.execute("VACUUM ANALYZE citizen, address, conversation")


# Every hundredth touchpoint is the busy citizen's; the rest fall on the others by chance.
_TOUCHPOINTS = """
    INSERT INTO touchpoint (id, address_id, conversation_id, direction, actor, kind, text, language, payload,
                            recorded_at, words)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
            || lpad(to_hex(n % 4096), 3, '0') || 'a' || lpad(to_hex(n), 15, '0'))::uuid,
           ('00000000-0000-7000-9000-' || lpad(to_hex(who), 12, '0'))::uuid,
           ('00000000-0000-7000-a000-' || lpad(to_hex(who), 12, '0'))::uuid,
           CASE WHEN dice < 47 THEN 'in' WHEN dice < 88 THEN 'out' ELSE 'inner' END,
           CASE WHEN dice < 47 THEN 'citizen' WHEN dice < 88 THEN 'bot' ELSE 'system' END,
           CASE WHEN dice < 44 THEN 'text' WHEN dice < 47 THEN 'photo' WHEN dice < 88 THEN 'text'
                WHEN dice < 92 THEN 'rating' WHEN dice < 96 THEN 'handoff' WHEN dice < 98 THEN 'report'
                ELSE 'note' END,
           CASE WHEN dice < 88 OR dice > 97 THEN s.text END,
           CASE WHEN dice < 88 OR dice > 97 THEN s.language END,
           CASE WHEN dice < 47 THEN '{}'::jsonb
                WHEN dice < 88 THEN jsonb_build_object('understood', jsonb_build_object('step', 'said',
                     'language', s.language, 'intent', 'ask_question', 'confidence', 0.9))
                     || CASE WHEN n % 5 = 0 THEN jsonb_build_object('answer', jsonb_build_object('id',
                     ('00000000-0000-7000-b000-' || lpad(to_hex(n), 12, '0')))) ELSE '{}' END
                WHEN dice < 96 THEN '{"from": "bot", "to": "waiting"}'
                ELSE jsonb_build_object('reference', 'R26-' || lpad(n::text, 8, '0') || '-1') END,
           at,
           CASE WHEN dice < 88 OR dice > 97 THEN s.words
                WHEN dice > 95 THEN to_tsvector('simple', 'r26' || lpad(n::text, 8, '0') || '1') END
    FROM (
        SELECT n, now() - make_interval(secs => 34000000.0 * (1 - n::float8 / %(all)s)) AS at,
               CASE WHEN n % 100 = 0
                    THEN CASE WHEN n / 100 % 10 = 0 THEN 1 ELSE %(people)s + n / 100 % 10 END
                    ELSE 1 + (hashint8extended(n, 1) & 2147483647) % %(people)s END AS who,
               (hashint8extended(n, 2) & 2147483647) % 100 AS dice,
               (hashint8extended(n, 3) & 2147483647) % 20000 AS said
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    ) AS made JOIN sentence s ON s.number = made.said
    ORDER BY made.n
""".replace(" % ", " %% ")

_ANSWERS = """
    INSERT INTO answer (id, touchpoint_id, question_id, question, language, outcome, probability,
                        knowledge_version, passages, created_at)
    SELECT (payload #>> '{answer,id}')::uuid, id, id, 'When?', 'en', 'answered', 0.9, 3,
           '[{"passage": 1, "article": "waste/recycling", "version": 7, "title": "Recycling", "score": 0.8}]',
           recorded_at
    FROM touchpoint WHERE payload ? 'answer'
"""

_DELIVERIES = """
    INSERT INTO delivery (id, touchpoint_id, conversation_id, address_id, channel, epoch, author, part, parts,
                          text, state, tries, segments, despite_silence, possible_duplicate, created_at)
    SELECT uuidv7(), t.id, t.conversation_id, t.address_id, a.channel, 0, 'bot', 1, 1, '', 'delivered', 1, 1,
           false, false, t.recorded_at
    FROM touchpoint t JOIN address a ON a.id = t.address_id WHERE t.payload ? 'answer'
"""
