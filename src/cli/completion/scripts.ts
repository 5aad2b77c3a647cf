/**
 * What a shell loads so that Tab asks `stator complete`. What was typed goes there as arguments, never through `eval`, and
 * what comes back is data: a word a line, of letters that mean nothing to a shell.
 */
export const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# bash completion for stator: eval "$(stator completion bash)", or a file in
# ~/.local/share/bash-completion/completions/stator
_stator() {
  COMPREPLY=()
  local line="\${COMP_LINE:0:COMP_POINT}" candidate
  while IFS= read -r candidate; do
    COMPREPLY+=("$candidate")
  done < <(command stator complete bash -- "$COMP_WORDBREAKS" "$line" 2>/dev/null </dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
}
complete -o default -F _stator stator
`,
  zsh: `#compdef stator
# zsh completion for stator: a file _stator in a folder of $fpath, or, after compinit,
# source <(stator completion zsh)
_stator() {
  local -a lines values shown open
  local line value
  lines=("\${(@f)$(command stator complete zsh -- "\${(@)words[2,CURRENT]}" 2>/dev/null </dev/null)}")
  for line in "\${(@)lines}"; do
    [[ -n $line ]] || continue
    value="\${line%%$'\\t'*}"
    if [[ $value == *= ]]; then
      open+=("$value")
    else
      values+=("$value")
      if [[ $line == *$'\\t'* ]]; then
        shown+=("$value  -- \${line#*$'\\t'}")
      else
        shown+=("$value")
      fi
    fi
  done
  (( \${#values} + \${#open} )) || { _files; return; }
  (( \${#values} )) && compadd -l -d shown -a values
  (( \${#open} )) && compadd -S '' -a open
  return 0
}
if [[ \${funcstack[1]} == _stator ]]; then
  _stator "$@"
elif (( $+functions[compdef] )); then
  compdef _stator stator
fi
`,
  fish: `# fish completion for stator: stator completion fish > ~/.config/fish/completions/stator.fish
function __stator_complete
    set -l typed (commandline -ct)
    set -l words (commandline -opc)
    set -l candidates (command stator complete fish -- $words[2..-1] "$typed" 2>/dev/null </dev/null)
    if test (count $candidates) -gt 0
        printf '%s\\n' $candidates
    else if functions -q __fish_complete_path
        __fish_complete_path "$typed"
    end
end
complete -c stator -f -a '(__stator_complete)'
`,
};
