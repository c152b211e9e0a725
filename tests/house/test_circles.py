"""What a circle of imports is, for `make check`: an import that only type checkers run counts too."""

from __future__ import annotations

from pathlib import Path

import import_circles


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_circle_is_noticed_in_a_function_for_type_checkers_and_through_a_package(tmp_path: Path) -> None:
    files = {
        "src/house/one.py": "from house.two import a\n",
        "src/house/two.py": "def late():\n    from house import three\n",
        "src/house/three.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.one import b\n",
        "src/house/__init__.py": "",
        "src/shed/__init__.py": "from shed.tool import hammer\n",
        "src/shed/tool.py": "from shed import nail\nimport house.one\n",
        "tests/house/four.py": "import house.one\nfrom house import five\n",
        "tests/house/five.py": "import shed\n",
        "tests/one.py": "import one\nimport seldom.installed\n",
    }
    write(tmp_path, files)

    assert import_circles.describe_circles(tmp_path, ["src", "tests"]) == [
        "src/house/one.py → src/house/two.py → src/house/three.py → src/house/one.py",
        "src/shed/__init__.py → src/shed/tool.py → src/shed/__init__.py",
    ]


def test_imports_that_lead_one_way_are_no_circle(tmp_path: Path) -> None:
    write(
        tmp_path, {"src/a.py": "import b\nimport c\n", "src/b.py": "import c\n", "src/c.py": "import json\n"}
    )

    assert import_circles.describe_circles(tmp_path, ["src"]) == []
