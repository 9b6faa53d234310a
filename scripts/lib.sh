# Shared by the scripts beside it: `root` is the project's directory.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root: $*"
        return 1
    fi
}

# Install Debian packages.
apt_install() {
    command -v apt-get >/dev/null || { say "please install: $*"; return 1; }
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2
}

need_cargo() {
    # rustup puts cargo where a shell that was open before does not look.
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
        . "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null || { say "cargo is missing: install Rust first, https://rustup.rs"; return 1; }
    command -v cc >/dev/null || apt_install gcc libc6-dev
}
