"""Programming languages by file name, extension and first line."""

from __future__ import annotations

import re

# language: (media type, extensions and whole names). A name without a dot in front is a whole file name.
_LANGUAGES: dict[str, tuple[str, str]] = {
    "Ada": ("text/x-ada", ".adb .ads"),
    "Apex": ("text/x-apex", ".apex"),
    "Assembly": ("text/x-asm", ".asm .s .nasm"),
    "Astro": ("text/x-astro", ".astro"),
    "AutoHotkey": ("text/x-autohotkey", ".ahk"),
    "Awk": ("text/x-awk", ".awk"),
    "BASIC": ("text/x-basic", ".bas .vb .vbs"),
    "Batch": ("text/x-bat", ".bat .cmd"),
    "Bazel": ("text/x-bazel", ".bzl .bazel BUILD WORKSPACE"),
    "BibTeX": ("text/x-bibtex", ".bib"),
    "C": ("text/x-c", ".c .h"),
    "C#": ("text/x-csharp", ".cs .csx"),
    "C++": ("text/x-c++", ".cpp .cc .cxx .c++ .hpp .hh .hxx .h++ .ipp .tpp .inl"),
    "CMake": ("text/x-cmake", ".cmake CMakeLists.txt"),
    "COBOL": ("text/x-cobol", ".cob .cbl .cpy"),
    "CSS": ("text/css", ".css"),
    "CUDA": ("text/x-cuda", ".cu .cuh"),
    "Clojure": ("text/x-clojure", ".clj .cljs .cljc .edn"),
    "CoffeeScript": ("text/x-coffeescript", ".coffee"),
    "Common Lisp": ("text/x-common-lisp", ".lisp .cl .asd"),
    "Crystal": ("text/x-crystal", ".cr"),
    "Cython": ("text/x-cython", ".pyx .pxd .pxi"),
    "D": ("text/x-d", ".d .di"),
    "Dart": ("text/x-dart", ".dart"),
    "Diff": ("text/x-diff", ".diff .patch"),
    "Dockerfile": ("text/x-dockerfile", ".dockerfile Dockerfile Containerfile"),
    "Elixir": ("text/x-elixir", ".ex .exs"),
    "Elm": ("text/x-elm", ".elm"),
    "Emacs Lisp": ("text/x-emacs-lisp", ".el"),
    "Erlang": ("text/x-erlang", ".erl .hrl"),
    "F#": ("text/x-fsharp", ".fs .fsi .fsx"),
    "Fish": ("text/x-fish", ".fish"),
    "Fortran": ("text/x-fortran", ".f .for .f77 .f90 .f95 .f03 .f08"),
    "GLSL": ("text/x-glsl", ".glsl .vert .frag .geom .comp"),
    "Gleam": ("text/x-gleam", ".gleam"),
    "Go": ("text/x-go", ".go go.mod"),
    "Gradle": ("text/x-gradle", ".gradle"),
    "GraphQL": ("text/x-graphql", ".graphql .gql"),
    "Groovy": ("text/x-groovy", ".groovy Jenkinsfile"),
    "HCL": ("text/x-hcl", ".tf .tfvars .hcl"),
    "HLSL": ("text/x-hlsl", ".hlsl"),
    "Haskell": ("text/x-haskell", ".hs .lhs .cabal"),
    "Haxe": ("text/x-haxe", ".hx"),
    "INI": ("text/x-ini", ".ini .cfg .conf .properties .editorconfig"),
    "IDL": ("text/x-idl", ".idl"),
    "JSON": ("application/json", ".json .jsonl .ndjson .json5 .jsonc .geojson"),
    "Java": ("text/x-java", ".java"),
    "JavaScript": ("text/javascript", ".js .mjs .cjs .jsx"),
    "Jinja": ("text/x-jinja", ".j2 .jinja .jinja2"),
    "Julia": ("text/x-julia", ".jl"),
    "Kotlin": ("text/x-kotlin", ".kt .kts"),
    "LLVM IR": ("text/x-llvm", ".ll"),
    "Lean": ("text/x-lean", ".lean"),
    "Less": ("text/x-less", ".less"),
    "Lua": ("text/x-lua", ".lua"),
    "MATLAB": ("text/x-matlab", ".m"),
    "Makefile": ("text/x-makefile", ".mk .mak Makefile makefile GNUmakefile"),
    "Meson": ("text/x-meson", "meson.build meson_options.txt"),
    "Metal": ("text/x-metal", ".metal"),
    "Mojo": ("text/x-mojo", ".mojo"),
    "Nim": ("text/x-nim", ".nim .nims .nimble"),
    "Nix": ("text/x-nix", ".nix"),
    "OCaml": ("text/x-ocaml", ".ml .mli .mll .mly"),
    "Objective-C": ("text/x-objective-c", ".mm"),
    "Odin": ("text/x-odin", ".odin"),
    "OpenCL": ("text/x-opencl", ".ocl .opencl"),
    "PHP": ("text/x-php", ".php .phtml"),
    "Pascal": ("text/x-pascal", ".pas .pp .dpr .lpr"),
    "Perl": ("text/x-perl", ".pl .pm .t"),
    "PostScript": ("application/postscript", ".ps .eps"),
    "PowerShell": ("text/x-powershell", ".ps1 .psm1 .psd1"),
    "Prolog": ("text/x-prolog", ".pro .prolog"),
    "Protocol Buffers": ("text/x-protobuf", ".proto"),
    "Puppet": ("text/x-puppet", ".puppet"),
    "Python": ("text/x-python", ".py .pyi .pyw SConstruct SConscript"),
    "R": ("text/x-r", ".r .rprofile"),
    "Racket": ("text/x-racket", ".rkt"),
    "Ruby": ("text/x-ruby", ".rb .rake .gemspec Rakefile Gemfile Vagrantfile"),
    "Rust": ("text/x-rust", ".rs"),
    "SCSS": ("text/x-scss", ".scss .sass"),
    "SQL": ("text/x-sql", ".sql .ddl .dml"),
    "Scala": ("text/x-scala", ".scala .sc .sbt"),
    "Scheme": ("text/x-scheme", ".scm .ss .sld"),
    "Shell": ("text/x-shellscript", ".sh .bash .zsh .ksh .ebuild PKGBUILD"),
    "Smalltalk": ("text/x-smalltalk", ".st"),
    "Solidity": ("text/x-solidity", ".sol"),
    "Standard ML": ("text/x-sml", ".sml .sig .fun"),
    "Starlark": ("text/x-starlark", ".star"),
    "Svelte": ("text/x-svelte", ".svelte"),
    "Swift": ("text/x-swift", ".swift"),
    "SystemVerilog": ("text/x-systemverilog", ".sv .svh"),
    "TOML": ("application/toml", ".toml"),
    "Tcl": ("text/x-tcl", ".tcl .tk"),
    "Thrift": ("text/x-thrift", ".thrift"),
    "TypeScript": ("text/x-typescript", ".ts .tsx .mts .cts"),
    "VHDL": ("text/x-vhdl", ".vhd .vhdl"),
    "Verilog": ("text/x-verilog", ".v .vh"),
    "Vim script": ("text/x-vim", ".vim"),
    "Vue": ("text/x-vue", ".vue"),
    "WebAssembly": ("text/x-wat", ".wat .wast"),
    "WGSL": ("text/x-wgsl", ".wgsl"),
    "XML": ("application/xml", ".xml .xsd .xsl .xslt .svg .plist .csproj .props"),
    "YAML": ("application/yaml", ".yaml .yml"),
    "Zig": ("text/x-zig", ".zig .zon"),
}

MEDIA_TYPES: dict[str, str] = {language: media_type for language, (media_type, _) in _LANGUAGES.items()}
"""Programming language to media type."""

BY_NAME: dict[str, str] = {name: language for language, (_, names) in _LANGUAGES.items() for name in names.split()}
"""Extension in lower case, with its dot, or whole file name, to programming language."""

_INTERPRETERS: dict[str, str] = {
    "awk": "Awk",
    "gawk": "Awk",
    "bash": "Shell",
    "bun": "TypeScript",
    "clojure": "Clojure",
    "crystal": "Crystal",
    "csh": "Shell",
    "dash": "Shell",
    "dart": "Dart",
    "deno": "TypeScript",
    "elixir": "Elixir",
    "escript": "Erlang",
    "fish": "Fish",
    "groovy": "Groovy",
    "guile": "Scheme",
    "julia": "Julia",
    "ksh": "Shell",
    "kotlin": "Kotlin",
    "lua": "Lua",
    "luajit": "Lua",
    "make": "Makefile",
    "node": "JavaScript",
    "nodejs": "JavaScript",
    "ocaml": "OCaml",
    "perl": "Perl",
    "php": "PHP",
    "pwsh": "PowerShell",
    "pypy": "Python",
    "python": "Python",
    "racket": "Racket",
    "rscript": "R",
    "ruby": "Ruby",
    "runghc": "Haskell",
    "runhaskell": "Haskell",
    "sbcl": "Common Lisp",
    "scala": "Scala",
    "sh": "Shell",
    "swift": "Swift",
    "swipl": "Prolog",
    "tclsh": "Tcl",
    "wish": "Tcl",
    "zsh": "Shell",
}

_SHEBANG = re.compile(r"#!\s*(?:\S*/)?env\s+(?:-\S+\s+|\w+=\S*\s+)*(\S+)|#!\s*(\S+)")

# Several languages claim these extensions; a line that only one of these has decides for it. Blanks before it do not go
# over line ends: of a thousand empty lines each would be followed to the last.
_OBJECTIVE_C = re.compile(r"^[^\S\n]*(?:@(?:interface|implementation|protocol|import)\b|#import\b)", re.MULTILINE)
_CPP = re.compile(r"^[^\S\n]*(?:class\s+\w+|namespace\b|template\s*<|using\s+\w|public:|private:)", re.MULTILINE)
_PROLOG = re.compile(r"^[^\S\n]*:-\s*\w|^\w+\(.*\)[^\S\n]*:-", re.MULTILINE)
_COQ = re.compile(r"^[^\S\n]*(?:Require|Theorem|Lemma|Inductive|Proof|Definition|From \w+ Require)\b", re.MULTILINE)
_RIVALS: dict[str, dict[str, re.Pattern[str]]] = {
    ".h": {"Objective-C": _OBJECTIVE_C, "C++": _CPP},
    ".m": {"Objective-C": _OBJECTIVE_C},
    ".pl": {"Prolog": _PROLOG},
    ".v": {"Coq": _COQ},
}
MEDIA_TYPES["Coq"] = "text/x-coq"


def language_of(name: str, text: str) -> str | None:
    """Return the programming language of a file, or None where neither its name nor its first line tells.

    Args:
        name: the last part of its path.
        text: its content, for a first line "#!/usr/bin/env python3" and for extensions that two languages share.
    """
    extension = extension_of(name)
    language = BY_NAME.get(name) or (BY_NAME.get(extension) if extension else None)
    if language is None:
        return _by_shebang(text)
    rivals = _RIVALS.get(extension, {})
    return next((rival for rival, line in rivals.items() if line.search(text)), language)


def extension_of(name: str) -> str:
    """Return what stands after the last dot of a file name, in lower case and with its dot; "" where there is none."""
    stem, dot, extension = name.rpartition(".")
    return f".{extension.lower()}" if dot and stem else ""


def _by_shebang(text: str) -> str | None:
    match = _SHEBANG.match(text[:256].split("\n", 1)[0])
    if match is None:
        return None
    program = (match[1] or match[2]).rsplit("/", 1)[-1].lower()
    return _INTERPRETERS.get(program) or _INTERPRETERS.get(re.sub(r"[\d.]+$", "", program))
