"""An MCP server on stdin and stdout that does what a file tells it to, so that a test can make it lie, hang and die.

`python wire_server.py DIRECTORY`: it offers the tools of `tools.json` there, and appends what it is asked to `log.jsonl`,
which is the truth about calls. What a tool does is in its definition, under `does`:

- `{"text": …}` or `{"content": […], "structuredContent": …}`: what it returns; `{"error": …}`: with `isError`
- `{"code": …, "message": …}`: an error of the protocol
- `{"die": true}`: it ends in the middle of the call, once (the file `died` remembers it)
- `{"announce": true}`: it says that its tools have changed
- `{"hang": true}`: it never answers, and logs a cancellation; with `"late": true` it answers once it is cancelled
- `{"times": n}`: it answers so often
- `{"sends": {…}, "count": n}`: before it answers it sends this message so often; what is answered to it is in the log
- `{"line": n}`: before it answers it writes so many bytes without an end of the line
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLACE = Path(sys.argv[1])
LATE: list[object] = []
"""The calls that are answered once they are cancelled."""


def log(line: dict[str, Any]) -> None:
    with (PLACE / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def read_tools() -> list[dict[str, Any]]:
    return json.loads((PLACE / "tools.json").read_text(encoding="utf-8"))


def call(number: object, name: str, does: dict[str, Any], params: dict[str, Any]) -> None:
    log({"call": name, "arguments": params.get("arguments"), "meta": params.get("_meta")})
    if does.get("die") and not (PLACE / "died").exists():
        (PLACE / "died").touch()
        sys.exit(0)
    if does.get("hang"):
        if does.get("late"):
            LATE.append(number)
        return
    for count in range(does.get("count", 1) if "sends" in does else 0):
        send({**does["sends"], **({"id": f"s-{count}"} if does.get("asks") else {})})
    if "line" in does:
        sys.stdout.write("x" * does["line"])
        sys.stdout.flush()
    if does.get("announce"):
        send({"method": "notifications/tools/list_changed"})
    if "code" in does:
        send({"id": number, "error": {"code": does["code"], "message": does["message"]}})
        return
    result = {key: does[key] for key in ("content", "structuredContent") if key in does}
    text = does.get("error") or does.get("text") or "fine"
    result.setdefault("content", [{"type": "text", "text": text}])
    for _ in range(does.get("times", 1)):
        send({"id": number, "result": {**result, "isError": "error" in does}})


def answer(message: dict[str, Any]) -> None:
    method, number, params = message.get("method"), message.get("id"), message.get("params") or {}
    match method:
        case "initialize":
            log({"began": True})
            capabilities = {"tools": {"listChanged": True}}
            info = {"name": "wire", "version": "1"}
            version = params["protocolVersion"]
            send(
                {
                    "id": number,
                    "result": {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info},
                }
            )
        case "tools/list":
            tools = [{key: value for key, value in tool.items() if key != "does"} for tool in read_tools()]
            send({"id": number, "result": {"tools": tools}})
        case "tools/call":
            tool = next((tool for tool in read_tools() if tool["name"] == params["name"]), None)
            if tool is None:
                send({"id": number, "error": {"code": -32602, "message": f"Unknown tool: {params['name']}"}})
                return
            call(number, params["name"], tool.get("does", {}), params)
        case "notifications/cancelled":
            for number in LATE:
                send({"id": number, "result": {"content": [{"type": "text", "text": "too late"}]}})
            log({"cancelled": params.get("reason") or True})
        case None:
            log({"answer": message})
        case _ if number is not None:
            send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
        case _:
            pass


if __name__ == "__main__":
    for line in sys.stdin:
        answer(json.loads(line))
