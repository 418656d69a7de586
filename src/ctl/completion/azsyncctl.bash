# bash-completion for azsyncctl and azsyncd. Verbs, options and what each takes are read from --help, so that nothing here
# has to keep up with them.

# The mappings of the configuration in $1; if it is empty, of the system's and one's own.
__azsync_mappings() {
        local dir file
        local -a dirs=("$1")

        [[ -n $1 ]] || dirs=(/etc/azsyncd "${XDG_CONFIG_HOME:-$HOME/.config}/azsyncd")
        for dir in "${dirs[@]}"; do
                for file in "$dir"/mappings.d/*.yaml; do
                        file=${file##*/} file=${file%.yaml}
                        [[ $file == [.-]* || $file == *[!A-Za-z0-9._-]* ]] || printf '%s\n' "$file"
                done
        done
}

# What option $2 of the --help in $1 takes: DIR, SECONDS, ...; nothing if it takes nothing
__azsync_takes() {
        [[ ! $1 =~ $'\n'"  $2 "([A-Z]+)"  " ]] || printf '%s' "${BASH_REMATCH[1]}"
}

_azsync() {
        local cur prev words cword split takes help verb='' config='' word i
        local -a arguments=()

        _init_completion -s || return
        help=$("$1" --help 2>/dev/null)
        for ((i = 1; i < cword; i++)); do
                word=${words[i]}
                if [[ $word == --config=* ]]; then
                        config=${word#*=}
                elif [[ $word == -* ]]; then
                        [[ $word != --config ]] || config=${words[i + 1]}
                        [[ $word == *=* || -z $(__azsync_takes "$help" "$word") ]] || ((i++))
                elif [[ -z $verb && $help == *$'\nVerbs:\n'* ]]; then
                        verb=$word
                        help=$("$1" "$verb" --help 2>/dev/null)$'\n'$help
                        # "azsyncctl [OPTION...] VERB [--option] [MAPPING]": what is behind the verb, without options
                        word=${help%%$'\n'*}
                        read -ra arguments < <(sed 's/\[--[^]]*\]//g; s/--[a-z-]* [A-Z]*//g; s/[][]//g' \
                                <<<"${word#"azsyncctl [OPTION...] $verb"}")
                elif [[ ${arguments[0]-} != *... ]]; then
                        arguments=("${arguments[@]:1}")
                fi
        done

        takes=
        [[ $prev != -* ]] || takes=$(__azsync_takes "$help" "$prev")
        if [[ -n $takes ]]; then
                case $takes in
                DIR) _filedir -d ;;
                L | T) # its words are told behind it: "a, b or c (default a)"
                        mapfile -t COMPREPLY < <(compgen -W "$(sed -n "s/^  $prev [A-Z]* *//; T; s/ (.*//; s/,\| or / /gp" \
                                <<<"$help")" -- "$cur")
                        ;;
                esac
        elif [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/^  \(--[a-z-]*\).*/\1/p' <<<"$help" | sort -u)" -- "$cur")
        elif [[ -z $verb ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$help")" -- "$cur")
        else
                case ${arguments[0]-} in
                MAPPING* | NAME*)
                        mapfile -t COMPREPLY < <(compgen -W "$(__azsync_mappings "$config")" -- "$cur")
                        ;;
                FOLDER) _filedir -d ;;
                esac
        fi
} && complete -F _azsync azsyncctl azsyncd
