"""The brain's part of the command line: `civicline evaluate ...`, `kb check` and `kb search`.

Heavy imports stand inside the functions, so that `civicline --help` stays fast.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bot.evaluate.files import Progress

app = typer.Typer(
    help="Measure answers, intents, languages, satisfaction and danger on files.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Data = Annotated[list[Path], typer.Option("--data", help="JSON lines; may be given several times.")]


@contextlib.contextmanager
def _assistant_of_environment() -> Iterator[tuple[str, str]]:
    from bot.settings import internal_secret

    yield os.environ.get("RASA_URL") or "http://127.0.0.1:8702", internal_secret()


# The trained assistant's address and secret; a command line that knows of a running one puts its own here.
assistant: Callable[[], contextlib.AbstractContextManager[tuple[str, str]]] = _assistant_of_environment


def _no_phrase(text: str) -> bool:
    """Stand in where this command line runs without the hub: only the model hears then."""
    return False


# Whether one of the city's fixed phrases of danger is in a text; the hub's command line puts its own here.
danger_phrase: Callable[[str], bool] = _no_phrase


@app.command()
def answers(
    articles: Annotated[list[Path], typer.Option("--articles", help="Articles; may be given several times.")],
    queries: Annotated[list[Path], typer.Option("--queries", help="Questions; may be given several times.")],
    as_json: Json = False,
    model: Annotated[str, typer.Option(help="Another EMBEDDING_MODEL than the one set.")] = "",
) -> None:
    """Measure search and the refusal gate on questions whose articles are known."""
    from bot.evaluate import answers as measuring

    with _readable(), _progress() as progress:
        result = measuring.measure(
            measuring.read_articles(articles),
            measuring.read_queries(queries),
            model or _model(),
            _data() / "brain" / "evaluation.sqlite",
            progress,
        )
    if as_json:
        _print_json(result)
        return
    rows = [
        [
            language or "-",
            figures["queries"],
            *figures["recall"].values(),
            figures["hit"]["5"],
            figures["mrr"],
        ]
        for language, figures in [("all", result), *result["by_language"].items()]
    ]
    _table(["language", "questions", "R@1", "R@3", "R@5", "R@10", "hit@5", "MRR"], rows)
    _table(
        ["answered", "refusal AUC", "p50 ms", "p95 ms", "articles", "passages"],
        [
            [
                result[name]
                for name in ("answered_rate", "refusal_auc", "p50_ms", "p95_ms", "articles", "passages")
            ]
        ],
    )


@app.command()
def languages(data: Data, as_json: Json = False) -> None:
    """Measure how often the language of a text is recognised."""
    from bot.evaluate import languages as measuring
    from bot.language import SUPPORTED
    from bot.settings import city_folder, city_languages

    with _readable(), _progress() as progress:
        texts = measuring.read_texts(data)
        result = measuring.measure(texts, city_languages(city_folder()) or SUPPORTED, progress)
    if as_json:
        _print_json(result)
        return
    rows = [[code, figures["accuracy"], figures["n"]] for code, figures in result["by_language"].items()]
    _table(["language", "accuracy", "texts"], [["all", result["accuracy"], result["n"]], *rows])


@app.command()
def intents(data: Data, as_json: Json = False) -> None:
    """Measure how often the trained assistant recognises an intent."""
    from bot.evaluate import intents as measuring

    with _readable(), _progress() as progress:
        utterances = measuring.read_utterances(data)
        try:
            with assistant() as (url, secret):
                predicted = measuring.predict(utterances, url, secret, progress)
        except measuring.AssistantAwayError as error:
            _stop(str(error))
    result = measuring.summary(utterances, predicted)
    if as_json:
        _print_json(result)
        return
    _table(
        ["intent", "recall", "precision", "sentences"],
        [[name, f["recall"], f["precision"], f["n"]] for name, f in result["by_intent"].items()],
    )
    rows = [[code or "-", f["accuracy"], f["n"]] for code, f in result["by_language"].items()]
    _table(["language", "accuracy", "sentences"], [["all", result["accuracy"], len(utterances)], *rows])


@app.command()
def satisfaction(data: Data, as_json: Json = False) -> None:
    """Measure how well dissatisfied turns are told from calm ones at the shipped threshold."""
    from bot.evaluate import satisfaction as measuring
    from bot.evaluate.vectors import VectorStore
    from bot.knowledge.embeddings import Embedder
    from bot.satisfaction import MODEL

    with _readable(), _progress() as progress:
        dialogues = measuring.read_dialogues(data)
        store = VectorStore(Embedder(MODEL), _data() / "brain" / "evaluation.sqlite")
        result = measuring.measure(dialogues, store, progress)
        store.close()
    if as_json:
        _print_json(result)
        return
    names = ("turns", "dissatisfied", "auc", "average_precision", "precision", "recall", "flagged_rate")
    _table(
        ["language", "turns", "dissatisfied", "AUC", "AP", "precision", "recall", "flagged"],
        [
            [code, *(found[name] for name in names)]
            for code, found in [("all", result), *result["by_language"].items()]
        ],
    )


@app.command()
def danger(data: Data, as_json: Json = False) -> None:
    """Measure how many statements of danger are heard, and how many look-alikes alarm for nothing."""
    from bot.evaluate import danger as measuring

    with _readable(), _progress() as progress:
        turns = measuring.read_turns(data)
        stores = measuring.stores_at(_data() / "brain" / "evaluation.sqlite")
        result = measuring.measure(turns, danger_phrase, stores, progress)
        for store in stores:
            store.close()
    if as_json:
        _print_json(result)
        return
    heard = {"both": result, "phrases": result["phrases_alone"], "model": result["model_alone"]}
    _table(
        ["heard by", "statements", "caught", "look-alikes", "alarmed"],
        [
            [
                name,
                f["statements"]["n"],
                f["statements"]["caught"],
                f["look_alikes"]["n"],
                f["look_alikes"]["alarmed"],
            ]
            for name, f in heard.items()
        ],
    )
    _table(
        ["language", "statements", "caught"],
        [[code or "-", f["n"], f["caught"]] for code, f in result["statements"]["by_language"].items()],
    )
    _table(
        ["language", "look-alikes", "alarmed"],
        [[code or "-", f["n"], f["alarmed"]] for code, f in result["look_alikes"]["by_language"].items()],
    )


def kb_check(
    folder: Annotated[Path | None, typer.Argument(help="Default: the city's own knowledge folder.")] = None,
    as_json: Json = False,
) -> None:
    """Look for wrong front matter, expired and doubled articles, broken links, missing translations."""
    from dataclasses import asdict
    from datetime import datetime

    from bot.knowledge.check import Weight, check
    from bot.settings import city_folder, city_languages

    city = city_folder()
    findings = check(folder or city / "knowledge", datetime.now().astimezone().date(), city_languages(city))
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    elif findings:
        _table(["", "where", "what"], [[str(f.weight), f.place, f.what] for f in findings])
    else:
        typer.echo("Nothing to complain about.")
    if any(finding.weight is Weight.ERROR for finding in findings):
        raise typer.Exit(1)


def kb_search(
    text: Annotated[str, typer.Argument(help="A question, as a resident would ask it.")],
    language: Annotated[str, typer.Option(help="The resident's language; recognised if not given.")] = "",
    k: Annotated[int, typer.Option(min=1, max=20, help="How many articles to list.")] = 5,
    as_json: Json = False,
) -> None:
    """Ask the running brain (BRAIN_URL) and show what it found, what it rejected and how sure it is."""
    import os

    import httpx

    from bot.settings import internal_secret

    url = os.environ.get("BRAIN_URL") or "http://127.0.0.1:8701"
    asked: dict[str, Any] = {"text": text, "language": language or None, "history": [], "k": k}
    try:
        response = httpx.post(
            f"{url}/search",
            json=asked,
            headers={"X-Internal-Secret": internal_secret()},
            timeout=30,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        _stop(f"The brain at {url} does not answer ({type(error).__name__}): start it with `civicline up`.")
    if response.status_code != 200:
        _stop(f"The brain at {url} says: {response.json().get('error', response.status_code)}.")
    answer = response.json()
    if as_json:
        _print_json(answer)
        return
    typer.echo(f"{answer['outcome']} ({answer['probability']:.2f}), {answer['took_ms']} ms")
    _table(
        ["score", "article", "language", "title", "quote"],
        [
            [
                f"{p['score']:.2f}",
                p["article"],
                p["language"],
                p["title"],
                p["quote"][:160].replace("\n", " "),
            ]
            for p in answer["passages"]
        ],
    )


def _model() -> str:
    import os

    from bot.settings import DEFAULT_MODEL

    return os.environ.get("EMBEDDING_MODEL") or DEFAULT_MODEL


def _data() -> Path:
    import os

    return Path(os.environ.get("CIVICLINE_DATA") or "./var")


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn unreadable files into one sentence each and exit code 1."""
    from bot.knowledge.importers import ImportFailed

    try:
        yield
    except ImportFailed as error:
        _stop(str(error))


@contextlib.contextmanager
def _progress() -> Iterator["Progress"]:
    """Show a bar for each step on standard error, where it does not mix with the figures."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        known: dict[str, Any] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in known:
                known[step] = bars.add_task(step, total=total)
            bars.update(known[step], completed=done, total=total)

        yield show


def _table(headings: list[str], rows: list[list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*headings)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    Console().print(table)


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def _stop(said: str) -> Any:
    typer.echo(said, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
