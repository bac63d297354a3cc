"""Languages, by file name: what delimits their strings and comments, and no more.

Every pattern takes time linear in the text: a string or a comment that nobody closes ends with its line or the file.
"""

import re
from dataclasses import dataclass
from typing import Final

_DOUBLE: Final = r'"(?:[^"\\\n]|\\[\s\S])*+"?'
_SINGLE: Final = r"'(?:[^'\\\n]|\\[\s\S])*+'?"
_CHARACTER: Final = r"'(?:[^'\\\n]|\\.)'"
_BACKTICK: Final = r"`(?:[^`\\]|\\[\s\S])*+`?"
_TRIPLE: Final = r'"""[\s\S]*?(?:"""|\Z)|' + r"'''[\s\S]*?(?:'''|\Z)"
_VERBATIM: Final = r'@"(?:[^"]|"")*+"?'

_HASH: Final = r"\#[^\n]*"
_HASH_ALONE: Final = r"(?<!\S)\#[^\n]*"
_SLASHES: Final = r"(?<!:)//[^\n]*|/\*[\s\S]*?(?:\*/|\Z)"
_ANGLES: Final = r"<!--[\s\S]*?(?:-->|\Z)"


@dataclass(frozen=True, slots=True)
class Syntax:
    """What delimits strings and comments in one family of languages."""

    regions: re.Pattern[str]
    bare: bool = False
    """Whether a value may stand without quotes, as in YAML."""
    words: bool = False
    """Whether every bare word is a value, as in a shell."""
    docstrings: bool = False


def _syntax(comments: str, *strings: str, bare: bool = False, words: bool = False, docstrings: bool = False) -> Syntax:
    parts = [f"(?P<comment>{comments})"] if comments else []
    return Syntax(re.compile("|".join((*parts, *strings)), re.MULTILINE), bare, words, docstrings)


PYTHON: Final = _syntax(_HASH, _TRIPLE, _DOUBLE, _SINGLE, docstrings=True)
_SCRIPT: Final = _syntax(_SLASHES, _DOUBLE, _SINGLE, _BACKTICK)
_COMPILED: Final = _syntax(_SLASHES, _TRIPLE, _VERBATIM, _DOUBLE, _CHARACTER, _BACKTICK)
_PHP: Final = _syntax(rf"{_SLASHES}|{_HASH_ALONE}", _DOUBLE, _SINGLE)
_RUBY: Final = _syntax(rf"{_HASH_ALONE}|^=begin[\s\S]*?(?:^=end|\Z)", _TRIPLE, _DOUBLE, _SINGLE)
_MARKUP: Final = _syntax(rf"{_ANGLES}|{_SLASHES}", _DOUBLE, _SINGLE, bare=True)
_CONFIGURATION: Final = _syntax(rf"{_HASH_ALONE}|^[ \t]*[;!][^\n]*", _TRIPLE, _DOUBLE, _SINGLE, bare=True)
_TERRAFORM: Final = _syntax(rf"{_HASH}|{_SLASHES}", _DOUBLE)
_SHELL: Final = _syntax(_HASH_ALONE, _DOUBLE, _SINGLE, bare=True, words=True)
# ``//`` is an operator in Nix, and its long strings stand between two apostrophes.
_NIX: Final = _syntax(rf"{_HASH}|/\*[\s\S]*?(?:\*/|\Z)", r"''[\s\S]*?(?:''|\Z)", _DOUBLE)
_LUA: Final = _syntax(r"--\[\[[\s\S]*?(?:\]\]|\Z)|--[^\n]*", r"\[\[[\s\S]*?(?:\]\]|\Z)", _DOUBLE, _SINGLE)
_HASKELL: Final = _syntax(r"\{-[\s\S]*?(?:-\}|\Z)|--[^\n]*", _DOUBLE, _CHARACTER)
_CLOJURE: Final = _syntax(r";[^\n]*", _DOUBLE)
_ERB: Final = _syntax(rf"{_ANGLES}|<%\#[\s\S]*?(?:%>|\Z)|{_HASH_ALONE}", _DOUBLE, _SINGLE, bare=True)
_GO_TEMPLATE: Final = _syntax(
    rf"\{{\{{-?\s*+/\*[\s\S]*?(?:\*/|\Z)|{_HASH_ALONE}|^[ \t]*[;!][^\n]*", _TRIPLE, _DOUBLE, _SINGLE, bare=True
)
_REQUESTS: Final = _syntax(rf"{_HASH_ALONE}|^[ \t]*//[^\n]*", _DOUBLE, bare=True)
_SQL: Final = _syntax(r"--[^\n]*|/\*[\s\S]*?(?:\*/|\Z)", _DOUBLE, _SINGLE)

_BY_EXTENSION: Final = {
    **dict.fromkeys(("py", "pyi", "pyw"), PYTHON),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "json", "jsonc", "json5"), _SCRIPT),
    **dict.fromkeys(("dart", "groovy", "gradle", "graphql", "proto", "bicep"), _SCRIPT),
    **dict.fromkeys(("go", "java", "kt", "kts", "cs", "scala", "swift", "rs", "c", "h", "cc", "cpp", "hpp"), _COMPILED),
    **dict.fromkeys(("fs", "m", "mm", "cue"), _COMPILED),
    **dict.fromkeys(("php", "jsonnet", "libsonnet"), _PHP),
    **dict.fromkeys(("rb", "rake", "gemspec", "ex", "exs", "jl", "r", "pl"), _RUBY),
    **dict.fromkeys(("vue", "svelte", "astro", "html", "xml", "csproj", "props", "config", "plist"), _MARKUP),
    **dict.fromkeys(
        ("yaml", "yml", "toml", "ini", "cfg", "conf", "properties", "env", "prompty", "j2"), _CONFIGURATION
    ),
    **dict.fromkeys(("tpl", "tmpl", "gotmpl"), _GO_TEMPLATE),
    "nix": _NIX,
    "lua": _LUA,
    "hs": _HASKELL,
    **dict.fromkeys(("clj", "cljs", "cljc", "edn"), _CLOJURE),
    "erb": _ERB,
    "http": _REQUESTS,
    **dict.fromkeys(("tf", "tfvars", "hcl"), _TERRAFORM),
    **dict.fromkeys(("sh", "bash", "zsh", "fish", "ps1", "bat", "mk", "envrc"), _SHELL),
    "sql": _SQL,
}
_BY_NAME: Final = {
    **dict.fromkeys(("dockerfile", "containerfile", "makefile", "justfile", "procfile"), _SHELL),
    **dict.fromkeys(("gemfile", "rakefile"), _RUBY),
    "jenkinsfile": _SCRIPT,
}


def syntax_of(name: str) -> Syntax | None:
    """Return the syntax that goes with a file's name; None: it is no source (prose, data, a lock, an image)."""
    lower = name.lower()
    if lower.startswith((".env", "dockerfile.", "containerfile.")):
        return _CONFIGURATION if lower.startswith(".env") else _SHELL
    return _BY_NAME.get(lower) or _BY_EXTENSION.get(lower.rpartition(".")[2] if "." in lower else "")
