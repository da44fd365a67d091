# Sourced by ./run and ./test: make_venv FILE... has .venv hold what those requirements name.
# A stamp with the files' checksum says that it was done; a marker tells an install that was cut short.

make_venv() {
    exec 9<.
    if command -v flock >/dev/null 2>&1; then
        flock 9 # two starts at once install one after the other
    fi
    stamp=.venv/.installed-$1
    wanted="$(cat "$@" | cksum) $(pwd)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! .venv/bin/python -c '' 2>/dev/null; then
        install_requirements "$@"
        echo "$wanted" >"$stamp"
    fi
    exec 9<&-
}

install_requirements() {
    uv=$(command -v uv || true)
    if [ -e .venv/.installing ] || ! usable_venv; then
        create_venv
    fi
    : >.venv/.installing
    echo "livefolio: installing $* into .venv (the first time takes about half a minute)" >&2
    for file in "$@"; do set -- "$@" -r "$file" && shift; done
    if [ -n "$uv" ]; then
        "$uv" pip install --quiet --python .venv/bin/python "$@"
    else
        .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input "$@"
    fi
    rm -f .venv/.installing
}

usable_venv() {
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || return 1
    [ -n "$uv" ] || .venv/bin/python -m pip --version >/dev/null 2>&1
}

create_venv() {
    rm -rf .venv
    if [ -n "$uv" ] && python=$(find_python 'import sys'); then
        "$uv" venv --quiet --python "$python" .venv
    elif python=$(find_python 'import ensurepip, venv'); then
        "$python" -m venv .venv
    elif python=$(find_python 'import sys'); then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "livefolio: $python cannot make virtual environments; on Debian or Ubuntu: apt install python$version-venv" >&2
        exit 3
    else
        echo "livefolio: needs Python 3.11 or newer (Debian, Ubuntu: apt install python3 python3-venv; macOS:" \
            "brew install python@3.12), or PYTHON=/path/to/python3 before $0" >&2
        exit 3
    fi
}

# Prints the first Python from 3.11 that can do what $1 says.
find_python() {
    for candidate in "${PYTHON:-}" python3.12 python3.13 python3.11 python3.14 python3 python; do
        if [ -n "$candidate" ] &&
            "$candidate" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null &&
            "$candidate" -c "$1" 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}
