# Shared by scripts/demo and scripts/test; sourced, with $top set to the root of the source tree.
# shellcheck shell=bash

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
: "${HOME:=/}"
export HOME LC_ALL=C.UTF-8

# The machine's own Python: Debian's pytest and Azure SDK belong to it, whatever comes first in PATH.
python=/usr/bin/python3

say() {
        printf '%s\n' "$*"
}

die() {
        printf '%s\n' "$*" >&2
        exit 1
}

# now: seconds with a fraction, for differences
now() {
        printf '%s' "$EPOCHREALTIME"
}

# since START: "3.2 s"
since() {
        LC_ALL=C awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", b - a }'
}

# Puts what the lock file in a directory of the tree pins into its node_modules. Quick if it is there already.
npm_install() {
        local dir=$top/$1 stamp

        stamp=$(cksum <"$dir/package-lock.json")
        [ "$(cat "$dir/node_modules/.azsyncd" 2>/dev/null)" != "$stamp" ] || return 0
        (
                flock 9 # two runs at once: the second finds the first one's work
                [ "$(cat "$dir/node_modules/.azsyncd" 2>/dev/null)" != "$stamp" ] || exit 0
                cd "$dir"
                npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --fetch-retries=5 </dev/null
                find node_modules -path '*/dist/bin/*' -type f -exec chmod +x {} + # azcopy comes without the bit
                echo "$stamp" >node_modules/.azsyncd
        ) 9<"$dir/package.json"
}

# A build directory below the tree, made with a clean set of flags. $1 directory, $2 compiler, then options for meson.
build() {
        local dir=$top/$1 compiler=$2 options
        shift 2
        local -a clean=(env -u CFLAGS -u CPPFLAGS -u LDFLAGS -u CXXFLAGS -u CXX CC="$compiler")

        options="$compiler $*"
        if [ "$(cat "$dir/.azsyncd-options" 2>/dev/null)" != "$options" ]; then
                rm -rf "$dir"
                "${clean[@]}" meson setup "$dir" "$top" "$@" || return 1
                echo "$options" >"$dir/.azsyncd-options"
        fi
        "${clean[@]}" ninja -C "$dir"
}
