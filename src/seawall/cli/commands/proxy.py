"""`seawall proxy`: an MCP server that stands before other MCP servers; every call to them passes the gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, parse_option_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seawall.adapters.mcp.proxy import McpProxy, ProxyOptions
    from seawall.adapters.mcp.serving import HttpAddress
    from seawall.cli.signals import Shutdown
    from seawall.core.limits import Limits
    from seawall.runtime.foreign.tools import FindEffect
    from seawall.runtime.seawall import Seawall

PatternsOption = list[str] | None
_EFFECTS = ("--effects", "--approve", "--confirm", "--unique")
"""Options that declare an effect."""
_GUARDS = (*_EFFECTS, "--polls")
"""Options by which somebody believes that a tool is guarded, or known to be a poll."""

ServersOption = Annotated[
    Path,
    typer.Option("--mcp", metavar="FILE", help="The file with mcpServers: the servers behind the proxy."),
]
EffectsOption = Annotated[
    PatternsOption,
    typer.Option(
        "--effects",
        metavar="PATTERN",
        help="Tools that change the world, such as 'bank.*'. May be repeated, like the other options.",
    ),
]
ApproveOption = Annotated[
    PatternsOption,
    typer.Option(
        "--approve",
        metavar="PATTERN",
        help="Effects that somebody else approves each time: seawall approve.",
    ),
]
ConfirmOption = Annotated[
    PatternsOption,
    typer.Option(
        "--confirm",
        metavar="PATTERN",
        help="Effects that the client's user confirms each time, if the client can ask them.",
    ),
]
UniqueOption = Annotated[
    PatternsOption,
    typer.Option(
        "--unique",
        metavar="TOOL=PARAMETER",
        help="An effect, and the parameters that identify it: 'bank.refund=order'. It is done once, whichever client asks for it.",
    ),
]
ReadsOption = Annotated[
    PatternsOption,
    typer.Option(
        "--reads",
        metavar="PATTERN",
        help="Tools that only read, although their names say that they write.",
    ),
]
PollsOption = Annotated[
    PatternsOption,
    typer.Option(
        "--polls",
        metavar="PATTERN",
        help="Tools that only read, and are asked again until something has happened.",
    ),
]
NotDoneOption = Annotated[
    PatternsOption,
    typer.Option(
        "--not-done", metavar="PATTERN", help="Effects whose error results mean that nothing was done."
    ),
]
HttpOption = Annotated[
    str | None,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Serve streamable HTTP at this address of this machine, instead of stdin and stdout.",
    ),
]
NamedRunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="ID",
        help="The client's run: with the same id it goes on after a restart, and what is recorded is not done again.",
    ),
]
AccountOption = Annotated[
    str, typer.Option("--tenant", "-t", metavar="NAME", help="The tenant whose account pays for all calls.")
]
ClientLimitsOption = Annotated[
    Path | None,
    typer.Option("--limits", metavar="FILE", help="A TOML file with the limits of each client's run."),
]
IdleOption = Annotated[
    str,
    typer.Option("--idle", metavar="DURATION", help="A client's run ends after this time without a call."),
]
TimeoutOption = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="How long one call of a server may take.")
]
TrustFirstOption = Annotated[
    bool,
    typer.Option(
        "--trust-first/--no-trust-first",
        help="Whether what a server offers at its first use is accepted without a person.",
    ),
]


def proxy(
    mcp: ServersOption,
    effects: EffectsOption = None,
    approve: ApproveOption = None,
    confirm: ConfirmOption = None,
    unique: UniqueOption = None,
    reads: ReadsOption = None,
    polls: PollsOption = None,
    not_done: NotDoneOption = None,
    http: HttpOption = None,
    run: NamedRunOption = None,
    tenant: AccountOption = "",
    limits: ClientLimitsOption = None,
    idle: IdleOption = "10m",
    timeout: TimeoutOption = "60s",
    trust_first: TrustFirstOption = True,
    journal: JournalOption = DEFAULT_JOURNAL,
) -> None:
    """Stand before MCP servers as one server: pinning, loops, limits, effects once and approvals for any MCP client.

    It serves the client on stdin and stdout, or with --http clients on this machine, at /mcp. A tool refund of the server bank is bank__refund for clients and bank.refund everywhere else. Each client has a run of its own: seawall runs shows them. A tool that its server has changed is quarantined: seawall mcp list.
    """
    from seawall.adapters.mcp.proxy import ProxyOptions
    from seawall.adapters.mcp.serving import parse_address
    from seawall.cli.hints import format_command
    from seawall.cli.limits_file import read_limits
    from seawall.cli.signals import run_async
    from seawall.core.limits import Limits

    address = None if http is None else parse_address(http)
    declared = make_find_effect(effects or [], approve or [], confirm or [], unique or [])
    patterns = {
        "--effects": effects or [],
        "--approve": approve or [],
        "--confirm": confirm or [],
        "--unique": [each.partition("=")[0] for each in unique or []],
        "--reads": reads or [],
        "--polls": polls or [],
        "--not-done": not_done or [],
    }
    options = ProxyOptions(
        tenant=tenant,
        run=run,
        idle_s=parse_option_s("--idle", idle, "10m or 1h"),
        timeout_s=parse_option_s("--timeout", timeout, "60s or 5m"),
        not_done=not_done or [],
        trust_first=trust_first,
    )
    bounds = read_limits(Limits(), limits) if limits is not None else None

    async def serve(shutdown: Shutdown) -> None:
        shutdown.message = (
            f"what its clients have asked for is recorded; look with:\n  {format_command('runs')}"
        )
        await _serve(journal, mcp, declared, patterns, bounds, options, address)

    run_async(serve)


def make_find_effect(
    effects: list[str], approve: list[str], confirm: list[str], unique: list[str]
) -> FindEffect:
    """Returns a function that finds the effect which these options declare. For one tool, all patterns that match it count
    together; of several for --unique, an exact name counts, and then the first one that matches. Raises `Misused` for an option
    that can't be read.
    """
    from fnmatch import fnmatchcase

    from seawall.core.errors import Misused
    from seawall.effects.options import Effect, always

    keys: dict[str, tuple[str, ...]] = {}
    for each in unique:
        name, equals, names = each.partition("=")
        if not equals or not name or not names:
            raise Misused(f"--unique {each}: write TOOL=PARAMETER, such as bank.refund=order")
        keys[name] = Effect(unique_by=tuple(names.split(","))).unique_by

    def matches(name: str, patterns: Iterable[str]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    def find(name: str) -> Effect | bool | None:
        key = keys.get(name) or next((keys[each] for each in keys if fnmatchcase(name, each)), ())
        approved, confirmed = matches(name, approve), matches(name, confirm)
        if approved or confirmed or key:
            return Effect(unique_by=key, approve=always() if approved else (), confirm=confirmed)
        return matches(name, effects) or None

    return find


async def _serve(
    journal: Path,
    servers: Path,
    effects: FindEffect,
    patterns: dict[str, list[str]],
    limits: Limits | None,
    options: ProxyOptions,
    address: HttpAddress | None,
) -> None:
    """Serves until the client has gone, or a signal comes. `patterns` holds each option's patterns of tools."""
    import random

    from seawall.adapters.mcp.clients import identify_user
    from seawall.adapters.mcp.names import check_pattern
    from seawall.adapters.mcp.proxy import open_proxy
    from seawall.adapters.mcp.servers import read_servers
    from seawall.adapters.mcp.serving import serve_http, serve_stdio
    from seawall.cli.journals import find_key
    from seawall.core.errors import Misused
    from seawall.runtime.foreign.engine import Engine

    sources = read_servers(servers)
    for option, given in patterns.items():
        for pattern in given:
            check_pattern(option, pattern, [source.name for source in sources])
            if option in ("--reads", "--polls") and any(pattern in patterns[each] for each in _EFFECTS):
                raise Misused(f"{pattern!r} is among the effects and among the {option.removeprefix('--')}")
    secrets = [secret for source in sources for secret in source.list_secrets()]
    engine = Engine(
        journal,
        effects=effects,
        reads=patterns["--reads"],
        polls=patterns["--polls"],
        limits=limits,
        secrets=secrets,
        signing_key=find_key(),
        authenticate=identify_user,
    )
    nonce = f"{random.SystemRandom().getrandbits(64):016x}"

    async def serve(sea: Seawall) -> None:
        async with open_proxy(engine, sea, servers, options, nonce) as opened:
            for line in (*opened.advice, *_check_unused(patterns, opened)):
                typer.echo(f"seawall: {line}", err=True)
            if address is None:
                await serve_stdio(opened)
            else:
                await serve_http(opened, address, _tell_ready)

    async with engine:
        await engine.call_async(serve)


def _check_unused(patterns: dict[str, list[str]], opened: McpProxy) -> list[str]:
    """Returns what is told of patterns that match no tool.

    Raises `Misused` for one that guards nothing, although each server whose tools it can match has said what it offers.
    """
    from seawall.adapters.mcp.names import advise_on_unused, list_unused, matches_any, split_name
    from seawall.core.errors import Misused

    told: list[str] = []
    for option, given in patterns.items():
        for pattern in list_unused(given, opened.tool_names):
            server = split_name(pattern)[0]
            line = advise_on_unused(option, pattern)
            if option in _GUARDS and not any(matches_any(each, [server]) for each in opened.unreached):
                there = ", ".join(
                    each for each in opened.tool_names if matches_any(split_name(each)[0], [server])
                )
                raise Misused(f"{line}, so nothing is guarded by it; there are: {there or 'none'}")
            told.append(line)
    return told


def _tell_ready(url: str) -> None:
    typer.echo(f"seawall: serving MCP at {url}", err=True)
