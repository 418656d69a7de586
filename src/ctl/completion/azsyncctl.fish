# fish completion for azsyncctl and azsyncd. Verbs, options and what each takes are read from --help, so that nothing here
# has to keep up with them.

# The mappings of the configuration in $argv; if there is none, of the system's and one's own.
function __azsync_mappings
    set -l own ~/.config
    test -n "$XDG_CONFIG_HOME"; and set own $XDG_CONFIG_HOME
    set -q argv[1]; or set argv /etc/azsyncd $own/azsyncd
    for file in $argv/mappings.d/*.yaml
        string match -rg '/([A-Za-z0-9_][A-Za-z0-9._-]*)\.yaml$' -- $file
    end
end

function __azsync_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    command -q $program; or return
    set -l help (command $program --help 2>/dev/null)
    set -l verb
    set -l config
    set -l arguments
    set -l option

    for word in $words[2..]
        if test -n "$option"
            test $option = --config; and set config $word
            set option
        else if string match -q -- '--config=*' $word
            set config (string replace -- --config= '' $word)
        else if string match -q -- '-*' $word
            string match -qr -- "^  $(string escape --style=regex -- $word) [A-Z]+  " $help; and set option $word
        else if test -z "$verb"; and contains Verbs: $help
            set verb $word
            set -p help (command $program $verb --help 2>/dev/null)
            # "azsyncctl [OPTION...] VERB [--option] [MAPPING]": what is behind the verb, without options
            set arguments (string replace -- "azsyncctl [OPTION...] $verb" '' $help[1] | string replace -ar '\[--[^]]*\]|--[a-z-]+ [A-Z]+|[][]' '' \
                | string split -n ' ')
        else if not string match -q -- '*...' $arguments[1]
            set -e arguments[1]
        end
    end

    # "--config=/et" is one word to the shell: the option goes before each answer
    set -l before (string match -r -- '^--[a-z-]+=' $current)
    test -n "$before"; and set option (string trim -rc = -- $before)
    if test -n "$option"
        switch (string match -rg -- "^  $option ([A-Z]+)  " $help)
            case DIR
                string join \n -- "$before"(__fish_complete_directories (string replace -r -- '^--[a-z-]+=' '' $current))
            case L T # its words are told behind it: "a, b or c (default a)"
                set -l told (string match -rg -- "^  $option [A-Z]+ +([^(]*)" $help | string replace -ar ',| or ' ' ')
                string join \n -- "$before"(string split -n ' ' -- $told)
        end
    else if string match -q -- '-*' $current
        string replace -fr -- '^  (--[a-z-]+)( [A-Z]+)?  +(.*)' '$1\t$3' $help
    else if test -z "$verb"
        string join \n $help | string match -rg '^  ([a-z]+ .*)' | string replace -r ' +' \t
    else
        switch "$arguments[1]"
            case 'MAPPING*' 'NAME*'
                __azsync_mappings $config
            case FOLDER
                __fish_complete_directories $current
        end
    end
end

complete -c azsyncctl -f -a '(__azsync_complete)'
complete -c azsyncd -f -a '(__azsync_complete)'
