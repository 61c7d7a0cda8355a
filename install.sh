#!/bin/sh
# Install mcpgateway for this user with uv, pipx or Python 3.11 or newer, or remove it; `sh install.sh --help` says more.
# For macOS and Linux, in POSIX sh. Root is not needed, and nothing outside of the home is written.
set -eu

# A release has its own version, the checksum of its wheel, and the address of all releases here.
VERSION=''
SHA256=''
RELEASES=''

# A container may have neither of them.
HOME="${HOME:?is not set, so there is no place for the program; set it to your folder}"
SHELL="${SHELL:-/bin/sh}"

OLDEST='3.11'
INDEX="${PIP_INDEX_URL:-https://pypi.org/simple}"
DATA="${XDG_DATA_HOME:-$HOME/.local/share}"
ENVIRONMENT="$DATA/mcpgateway" # the place that the units in tap/ name
KEPT="$DATA/mcpgateway-installer"
BEGIN='# >>> mcpgateway: this block is of its install.sh'
END='# <<< mcpgateway'
PROGRAMS='mcpgateway mcpg mcp-ctl mcp-gateway'

main() {
    from='' offline='' is_agreed='' service=yes removes='' shows=''
    while [ $# -gt 0 ]; do
        case "$1" in
        --from) [ $# -gt 1 ] || wrong '--from needs a folder or an address'; from=$2; shift ;;
        --offline) offline=yes ;;
        --version) case "${2-}" in '' | -*) shows=yes ;; *) asked=${2#v}; shift ;; esac ;;
        --no-service) service='' ;;
        -y | --yes) is_agreed=yes ;;
        --uninstall) removes=yes ;;
        -h | --help) help; exit 0 ;;
        *) wrong "there is no option $1" ;;
        esac
        shift
    done
    if [ -n "${asked-}" ] && [ "$asked" != "$VERSION" ]; then
        VERSION=$asked SHA256=''
    fi
    case "$(uname -s)" in
    MINGW* | MSYS* | CYGWIN*) fail 'mcpgateway runs on Windows in WSL' 'wsl --install, then sh install.sh in that Linux' ;;
    esac
    if [ -n "${SUDO_USER-}" ] && [ "$(id -u)" -eq 0 ]; then
        fail 'mcpgateway is installed for one user, and sudo would make that root' 'Run install.sh without sudo.'
    fi
    temporary=$(mktemp -d "${TMPDIR:-/tmp}/mcpgateway.XXXXXX")
    trap 'rm -rf "$temporary"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [ -n "$removes" ]; then
        uninstall
    else
        find_place
        if [ -n "$shows" ]; then
            echo "$VERSION"
        else
            install
        fi
    fi
}

help() {
    cat <<'HELP'
Usage: sh install.sh [OPTION]...

Installs mcpgateway for this user, or another release of it over the one that is there: with uv, with pipx, or else in
~/.local/share/mcpgateway with Python 3.11 or newer. Run again, it changes nothing.

  --from PLACE        folder or address with the files of a release; else the folder of this script, then the releases
  --offline           fetch nothing: the folder has the wheels of all that mcpgateway needs, too
  --version [NUMBER]  install that release; without a number, print the version that would be installed
  --no-service        do not have the gateway start at each login
  -y, --yes           ask nothing: start the gateway, as a service where that is possible, and enrol the clients' files
  --uninstall         restore the clients' files, then remove service, gateway and program; with --yes the
                      configuration, too
  -h, --help          show this text
HELP
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$1" >&2
    [ -z "${2-}" ] || printf '%s\n' "$2" >&2
    exit 1
}
wrong() {
    printf 'install.sh: %s; --help shows all options\n' "$1" >&2
    exit 64
}
has() { command -v "$1" >/dev/null 2>&1; }
can_ask() { [ -z "$is_agreed" ] && [ -t 1 ] && (: </dev/tty) 2>/dev/null; }
# Whether this script is a file, and not read from a pipe.
is_file() { [ -f "$0" ] && grep -qF "$BEGIN" "$0"; }

# ---- the files of the release

# Sets `place`, a folder or an address, and VERSION where the place tells it.
find_place() {
    here=''
    if is_file; then
        here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
    fi
    if [ -n "$from" ]; then
        case "$from" in
        https://* | http://localhost* | http://127.0.0.1*) place=${from%/} ;;
        *://*) fail "$from: a release is fetched over https" ;;
        *) [ -d "$from" ] || fail "$from: is no folder"; place=$(CDPATH='' cd -- "$from" && pwd) ;;
        esac
    elif [ -n "$here" ] && [ -n "$(wheels "$here")" ]; then
        place=$here
    elif [ -n "$here" ] && [ -f "$here/setup.cfg" ] && [ -d "$here/mcpgateway" ]; then
        place=$here
    elif [ -n "$RELEASES" ] && [ -z "$offline" ]; then
        place="$RELEASES/v$VERSION"
    else
        fail 'there is no release beside this script' \
            'Name its folder, with mcpgateway-VERSION-py3-none-any.whl and checksums.txt: sh install.sh --from FOLDER'
    fi
    is_checkout=''
    case "$place" in
    *://*) [ -n "$VERSION" ] || fail "$place: which release is it?" 'Name it: sh install.sh --version NUMBER' ;;
    *)
        found=$(wheels "$place")
        if [ "$(say "$found" | wc -l)" -gt 1 ]; then
            fail "$place: has several releases" 'Name one: sh install.sh --version NUMBER'
        elif [ -n "$found" ]; then
            version=${found#mcpgateway-} version=${version%%-*}
            [ -z "$SHA256" ] || [ "$version" = "$VERSION" ] || fail "$place: has mcpgateway $version, not $VERSION" \
                "Run install.sh of that release, or name it: sh install.sh --version $version"
            VERSION=$version
        elif [ -f "$place/mcpgateway/__init__.py" ]; then
            is_checkout=yes
            VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$place/mcpgateway/__init__.py")
        else
            fail "$place: has no mcpgateway-${VERSION:-VERSION}-py3-none-any.whl"
        fi ;;
    esac
}

# Lines with the names of our wheels in a folder; one, if a release is asked for.
wheels() {
    for each in "$1"/mcpgateway-${asked:-*}-py3-none-any.whl; do
        [ ! -f "$each" ] || say "${each##*/}"
    done
}

# Copies or fetches a file of the release into a folder: take NAME FOLDER.
take() {
    case "$place" in
    *://*)
        if has curl; then
            curl --fail --silent --show-error --location --max-time 600 --output "$2/$1" "$place/$1"
        elif has wget; then
            wget --quiet --timeout=60 --output-document="$2/$1" "$place/$1"
        else
            fail 'neither curl nor wget is there, and one of them has to fetch the release'
        fi ;;
    *) [ -f "$place/$1" ] && cp -- "$place/$1" "$2/$1" ;;
    esac
}

sha256() {
    if has sha256sum; then sha256sum <"$1"; elif has shasum; then shasum -a 256 <"$1"; else openssl dgst -sha256 -r "$1"; fi |
        cut -d ' ' -f 1
}

# Sets `wheel`: the release, verified, in a folder that only this user can write.
take_wheel() {
    name="mcpgateway-$VERSION-py3-none-any.whl"
    take "$name" "$temporary" || fail "$place/$name: cannot be had"
    wanted=$SHA256
    if [ -z "$wanted" ]; then
        take checksums.txt "$temporary" || fail "$place/checksums.txt: cannot be had, so the release cannot be verified"
        wanted=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$name\$/\1/p" "$temporary/checksums.txt")
        [ -n "$wanted" ] || fail "$place/checksums.txt: has no line for $name"
    fi
    actual=$(sha256 "$temporary/$name")
    [ "$actual" = "$wanted" ] || fail "$name: its SHA-256 is $actual, and should be $wanted" 'Nothing was installed.'
    mkdir -p "$KEPT"
    rm -f "$KEPT"/*.whl
    mv -- "$temporary/$name" "$KEPT/$name"
    wheel="$KEPT/$name"
    if is_file; then
        cp -- "$0" "$temporary/install.sh"
    else
        take install.sh "$temporary" 2>/dev/null || return 0
    fi
    mv -- "$temporary/install.sh" "$KEPT/install.sh"
}

# ---- installing

install() {
    find_python
    choose
    program="$(programs)/mcpgateway"
    found=$(installed_by)
    [ -n "$found" ] || check_names
    before=$(installed_version)
    if [ "$before" = "$VERSION" ] && [ -z "$is_checkout" ]; then
        say "mcpgateway $VERSION is installed already, $(by)."
    else
        if [ -n "$is_checkout" ]; then wheel=$place; else take_wheel; fi
        say "Installing mcpgateway $VERSION $(by); this takes a minute or two."
        "install_by_$tool"
        [ "$(installed_version)" = "$VERSION" ] || fail "$program: does not run" "$("$program" --version 2>&1 || true)"
    fi
    find_path
    if [ -n "$before" ] && [ "$before" != "$VERSION" ] && is_running; then
        "$program" restart
    fi
    begin
}

# Other packages have a program of the same name.
check_names() {
    for each in $PROGRAMS; do
        name="$(programs)/$each"
        if [ -e "$name" ]; then
            fail "$name: is another program's" 'Nothing was installed. Remove that program, or rename it, first.'
        fi
    done
}

installed_version() { "$program" --version 2>/dev/null | sed -n 's/^mcpgateway //p'; }
is_running() { "$program" status --json >/dev/null 2>&1; }

# Sets `python`: the path of an interpreter that is new enough, or nothing.
find_python() {
    python=''
    for each in "${MCPGATEWAY_PYTHON-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [ -n "$each" ] || continue
        python=$("$each" -c "import sys, venv
if sys.version_info >= (${OLDEST%.*}, ${OLDEST#*.}): print(sys.executable)" 2>/dev/null) || python=''
        [ -z "$python" ] || break
    done
}

# Sets `tool`: the one that has installed the program, else the best that is there.
choose() {
    tool=$(installed_by | head -n 1)
    if [ -n "$tool" ]; then
        :
    elif has uv; then
        tool=uv
    elif has pipx && [ -n "$python" ] && [ -z "$offline" ]; then # pipx fetches what it shares among its environments
        tool=pipx
    elif [ -n "$python" ]; then
        tool=python
    else
        fail "Python $OLDEST or newer, uv or pipx is needed, and none of them is here" "$(advice)"
    fi
}

# Lines with the tools that have installed the program.
installed_by() {
    if [ -x "$ENVIRONMENT/bin/python" ] || [ -L "$ENVIRONMENT/bin/python" ]; then say python; fi
    if has uv && uv tool list 2>/dev/null | grep -q '^mcpgateway v'; then say uv; fi
    if has pipx && pipx list --short 2>/dev/null | grep -q '^mcpgateway '; then say pipx; fi
}

by() {
    case "$tool" in python) printf 'in %s, on %s' "$ENVIRONMENT" "${python:-its Python}" ;; *) printf 'by %s' "$tool" ;; esac
}

advice() {
    if has apt-get; then
        say 'Install one: sudo apt-get install python3 python3-venv'
    elif has dnf; then
        say 'Install one: sudo dnf install python3'
    elif has pacman; then
        say 'Install one: sudo pacman -S python'
    elif has apk; then
        say 'Install one: sudo apk add python3'
    elif has brew; then
        say 'Install one: brew install python'
    else
        say 'Install one, such as https://docs.astral.sh/uv or https://www.python.org/downloads'
    fi
}

# The folder of the programs that the tool makes.
programs() {
    case "$tool" in
    uv) uv tool dir --bin 2>/dev/null || printf '%s' "$HOME/.local/bin" ;;
    pipx) printf '%s' "${PIPX_BIN_DIR:-$HOME/.local/bin}" ;;
    *) printf '%s' "$HOME/.local/bin" ;;
    esac
}

# The folder of wheels as an address: tools divide lists of folders at spaces.
links() { printf 'file://%s' "$(printf '%s' "$place" | sed 's/%/%25/g; s/ /%20/g; s/#/%23/g; s/?/%3F/g')"; }

install_by_uv() {
    set -- tool install --quiet --force --python ">=$OLDEST" "$wheel"
    if [ -n "$offline" ]; then
        set -- "$@" --offline --no-index --find-links "$(links)" --no-python-downloads
    fi
    uv "$@" || failed uv "$([ -n "$python" ] || advice)"
}

# pipx removes what is installed when it cannot install the other release, so that is tried first.
install_by_pipx() {
    [ -z "$before" ] || pipx runpip mcpgateway install --quiet --dry-run "$wheel" >"$temporary/pipx" 2>&1 ||
        failed pipx "$(cat "$temporary/pipx")"
    pipx install --force --python "$python" "$wheel" >"$temporary/pipx" 2>&1 || failed pipx "$(cat "$temporary/pipx")"
}

install_by_python() {
    [ -n "$python" ] || fail "Python $OLDEST or newer is not here any more" "$(advice)"
    if [ -z "$before" ]; then
        "$python" -m venv --clear --without-pip "$ENVIRONMENT" || fail "$python makes no environment" "$(advice)"
    fi
    find_pip
    set -- install --quiet --disable-pip-version-check
    if [ -n "$offline" ]; then
        set -- "$@" --no-index --find-links "$(links)"
    fi
    "$ENVIRONMENT/bin/python" "$pip" "$@" "$wheel" || failed pip
    mkdir -p "$HOME/.local/bin"
    for each in $PROGRAMS; do
        ln -sf "$ENVIRONMENT/bin/$each" "$HOME/.local/bin/$each"
    done
}

# failed TOOL [DETAIL]: an installation that did not succeed leaves nothing, and an upgrade the release that was there.
failed() {
    [ -n "$found" ] || rm -rf -- "$KEPT" "$ENVIRONMENT"
    left='Nothing was installed.'
    [ -z "$before" ] || left="mcpgateway $before stays installed."
    fail "$1 failed" "${2:+$2
}$left"
}

# Sets `pip`: the program within a wheel of pip, which Python brings along; Debian has it in a package of its own,
# python3-venv. Else it is in the folder, or comes from the package index, verified.
find_pip() {
    pip=$("$python" -c 'import ensurepip, glob, os, sysconfig
folders = [sysconfig.get_config_var("WHEEL_PKG_DIR") or "", os.path.join(ensurepip.__path__[0], "_bundled")]
print([wheel for each in folders for wheel in glob.glob(os.path.join(each, "pip-*.whl"))][0] + "/pip")' 2>/dev/null) ||
        pip=''
    if [ -n "$pip" ]; then
        return
    elif [ -n "$offline" ]; then
        for each in "$place"/pip-*-py3-none-any.whl; do
            [ ! -f "$each" ] || pip="$each/pip"
        done
        [ -n "$pip" ] || fail "$python has no pip, and $place no wheel of it" "$(advice)"
        return
    fi
    pip="$("$python" - "$INDEX" "$temporary" <<'PYTHON'
import hashlib, os, re, sys, urllib.parse, urllib.request

index, folder = sys.argv[1:]
page = index.rstrip("/") + "/pip/"
with urllib.request.urlopen(page, timeout=60) as answer:
    text = answer.read(20_000_000).decode()
links = re.findall(r'href="([^"#]*/(pip-([\d.]+)-py3-none-any\.whl))#sha256=([0-9a-f]{64})"', text)
link, name, _, wanted = max(links, key=lambda each: [int(part) for part in each[2].split(".")])
with urllib.request.urlopen(urllib.parse.urljoin(page, link), timeout=60) as answer:
    wheel = answer.read(20_000_000)
if hashlib.sha256(wheel).hexdigest() != wanted:
    sys.exit(name + ": its SHA-256 is not that of the index")
with open(os.path.join(folder, name), "wb") as file:
    file.write(wheel)
print(os.path.join(folder, name, "pip"))
PYTHON
    )" || fail "$python has no pip, and $INDEX gave none" "$(advice)"
}

# ---- PATH

# Has new shells find the programs: a block at the head of their file, since some of these end early.
find_path() {
    folder=$(programs)
    case ":$PATH:" in *":$folder:"*) return ;; esac
    case "$folder" in "$HOME"/*) written="\$HOME/${folder#"$HOME"/}" ;; *) written=$folder ;; esac
    case "${written#\$HOME}" in
    *[\"\\\`\$:]*) say "Add $folder to the PATH of your shell, to find its programs."; return ;;
    esac
    files=$(startup_files)
    if [ -z "$files" ]; then
        case "${SHELL##*/}" in fish) way="fish_add_path $written" ;; *) way="add $written to its PATH" ;; esac
        say "To have your shell find mcpgateway: $way"
        return
    fi
    for file in $files; do
        add_path "$HOME/$file" "$written"
    done
    say "New shells find mcpgateway; in this one: export PATH=\"$written:\$PATH\""
}

# The names, below the home, of the files that the user's shell reads, as a login shell and as another; none are known
# for shells of another language.
startup_files() {
    case "${SHELL##*/}" in
    zsh) [ "${ZDOTDIR:-$HOME}" != "$HOME" ] || say .zshrc ;;
    bash)
        say .bashrc
        for each in .bash_profile .bash_login; do
            if [ -f "$HOME/$each" ]; then say "$each"; return; fi
        done
        say .profile ;;
    fish | *csh | nu | xonsh | elvish) ;; # they read no file in the language of sh
    *) say .profile ;;
    esac
}

# add_path FILE FOLDER; what was there stays as it was, with its mode, and behind its link.
add_path() {
    made=''
    if [ ! -f "$1" ]; then
        made=', and so is this file'
    elif grep -qF "$BEGIN" "$1"; then
        return
    fi
    {
        say "$BEGIN$made"
        # shellcheck disable=SC2016  # the shell that reads the file expands it
        printf 'case ":$PATH:" in *":%s:"*) ;; *) PATH="%s:$PATH"; export PATH ;; esac\n' "$2" "$2"
        say "$END"
        [ ! -f "$1" ] || cat -- "$1"
    } >"$temporary/startup"
    cat -- "$temporary/startup" 2>/dev/null >"$1" || say "$1 cannot be written: add $2 to your PATH there."
}

remove_path() {
    for name in .zshrc .bashrc .bash_profile .bash_login .profile; do
        file="$HOME/$name"
        if [ -f "$file" ] && grep -qF "$BEGIN" "$file"; then
            is_made=$(grep -cF "$BEGIN, and so is this file" "$file" || true)
            awk -v begin="$BEGIN" -v end="$END" \
                'index($0, begin) == 1 { inside = 1 } !inside { print } $0 == end { inside = 0 }' "$file" >"$temporary/startup"
            # awk ends every line, also a last one that had no end.
            size=$(($(wc -c <"$temporary/startup")))
            if [ -n "$(tail -c 1 "$file")" ] && [ "$size" -gt 0 ]; then size=$((size - 1)); fi
            if [ "$size" -eq 0 ] && [ "$is_made" -gt 0 ]; then
                rm -f -- "$file"
            else
                head -c "$size" "$temporary/startup" >"$file"
            fi
        fi
    done
}

# ---- beginning and leaving

begin() {
    if [ -n "$is_agreed" ]; then
        [ -z "$service" ] || "$program" service install || say 'The gateway is no service here; it runs until it is stopped.'
        "$program" start --yes
    elif is_running; then
        say 'Its gateway runs: mcpgateway status'
    elif can_ask && agreed 'Start the gateway now? It shows the changes to the files of your clients, and asks.'; then
        if [ -n "$service" ]; then
            "$program" start </dev/tty
        else
            "$program" start --adopt never </dev/tty
            "$program" clients apply </dev/tty
        fi
    else
        say 'Next: mcpgateway start'
    fi
}

agreed() {
    printf '%s [y/N]: ' "$1" >/dev/tty
    read -r answer </dev/tty || answer=''
    case "$answer" in [yY]*) return 0 ;; *) return 1 ;; esac
}

uninstall() {
    python=''
    tools=$(installed_by)
    for tool in $tools; do
        program="$(programs)/mcpgateway"
        restore
        say "Removing mcpgateway $(by)."
        case "$tool" in
        uv) uv tool uninstall --quiet mcpgateway ;;
        pipx) pipx uninstall mcpgateway >/dev/null ;;
        python)
            for each in $PROGRAMS; do
                link="$HOME/.local/bin/$each"
                [ "$(readlink "$link" 2>/dev/null)" != "$ENVIRONMENT/bin/$each" ] || rm -f -- "$link"
            done
            rm -rf -- "$ENVIRONMENT" ;;
        esac
    done
    remove_path
    rm -rf -- "$KEPT"
    if [ -n "$tools" ]; then say 'mcpgateway is removed.'; else say 'mcpgateway is not installed.'; fi
}

# The files of the clients name the program, so it goes after them.
restore() {
    if [ ! -e "$program" ] && [ ! -d "${MCPGATEWAY_HOME:-$HOME/.mcp-gateway}" ]; then
        return # it was not installed to its end, and never ran
    fi
    export MCPGATEWAY_REMOVER=install.sh
    set -- uninstall
    if [ -n "$is_agreed" ]; then
        set -- "$@" --yes
    elif ! can_ask; then
        set -- "$@" --keep-home
    fi
    if can_ask; then
        "$program" "$@" </dev/tty
    else
        "$program" "$@" </dev/null
    fi || fail 'mcpgateway stays' "$([ -n "$(installed_version)" ] || say 'Its program does not run: install it again first.')"
}

main "$@"
