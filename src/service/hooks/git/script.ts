import { refusedCode } from '../../config/enforce-level.ts'

// The shell scripts that Git starts. They decide without Node when there is nothing to judge, which is most commits of most repositories,
// and they are wrong only in the safe direction: whatever they cannot tell at once they leave to Node.

/** The hooks that a worktree has. */
export const clientHooks = ['prepare-commit-msg', 'pre-commit', 'pre-merge-commit', 'pre-applypatch', 'commit-msg', 'pre-push'] as const

/** The hook that a bare repository has. */
export const serverHooks = ['pre-receive'] as const

export type HookName = (typeof clientHooks)[number] | (typeof serverHooks)[number]

/** The hooks that come before a commit and may refuse it. */
const judgesCommit = (name: HookName): boolean => name === 'pre-commit' || name === 'pre-merge-commit' || name === 'pre-applypatch'

/** The hooks that read what Git writes to them. */
const readsInput = (name: HookName): boolean => name === 'pre-push' || name === 'pre-receive'

/** Which installation a script starts. */
export interface Installation {
  /** Node, absolute. */
  readonly node: string
  /** The executable, absolute. */
  readonly main: string
}

/** What stood in the hook's place is called by this name. */
export const previousName = (name: string): string => `${name}.leasehold-prev`

const begin = '# >>> leasehold'
const end = '# <<< leasehold'

export interface Marks {
  readonly begin: string
  readonly end: string
}

export const marks: Marks = { begin, end }

/** A text for the shell, as it is. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** A hook of its own. With `chain`, what stood there before comes first, with the same arguments and input, and its failure counts. */
export function hookScript(name: HookName, installation: Installation, chain: boolean): string {
  return `#!/bin/sh
${begin} ${name}: written by lh hooks install git, taken out by lh hooks uninstall git
${bodyOf(name, installation, chain)}${end}
`
}

function bodyOf(name: HookName, installation: Installation, chain: boolean): string {
  const parts = [
    said,
    name === 'commit-msg' ? comments : asking(name, installation),
    judgesCommit(name) || name === 'prepare-commit-msg' ? places : '',
    name === 'commit-msg' || name === 'pre-receive' ? '' : storeless,
    judgesCommit(name) || name === 'prepare-commit-msg' ? quietCommit : name === 'pre-push' ? quietPush : '',
    name === 'prepare-commit-msg' ? unjudged : '',
    hook(name, chain),
  ]
  return `${parts.join('')}leasehold_hook "$@" || exit $?\n`
}

const said = `leasehold_say() {
  (trap '' PIPE && printf 'lh: %s\\n' "$1" >&2) || :
}
`

/** `leasehold_start` takes the place of the shell that it is called in; `leasehold_verdict` makes of its code what Git is told. */
const asking = (name: HookName, { node, main }: Installation): string => `leasehold_start() {
  if [ -x ${quoted(node)} ] && [ -f ${quoted(main)} ]; then exec ${quoted(node)} ${quoted(main)} git-hook ${name} "$@"; fi
  if command -v lh >/dev/null 2>&1; then exec lh git-hook ${name} "$@"; fi
  leasehold_say ${quoted(`the ${name} hook judged nothing: ${main} and lh on PATH are gone; to install it again: lh hooks install git`)}
  exit 0
}
leasehold_verdict() {
  case $1 in
  0) return 0 ;;
  ${refusedCode}) return 1 ;;
  esac
  leasehold_say "the ${name} hook failed with code $1 and judged nothing"
}
`

/** The git directories of this worktree, and whether it holds anything. Git starts these hooks at its top. */
const places = `leasehold_places() {
  leasehold_git=\${GIT_DIR:-.git}
  [ -z "\${GIT_COMMON_DIR-}" ] || return 1
  if [ -f "$leasehold_git" ]; then
    IFS= read -r leasehold_line <"$leasehold_git" || return 1
    leasehold_git=\${leasehold_line#gitdir: }
  fi
  [ -d "$leasehold_git" ] || return 1
  leasehold_common=$leasehold_git
  if [ -f "$leasehold_git/commondir" ]; then
    IFS= read -r leasehold_common <"$leasehold_git/commondir" || return 1
    case $leasehold_common in
    /*) ;;
    *) leasehold_common=$leasehold_git/$leasehold_common ;;
    esac
  fi
}
leasehold_holds_nothing() {
  [ -z "\${LEASEHOLD_TOKEN-}\${LEASEHOLD_LEASE-}" ] || return 1
  leasehold_held=$leasehold_git/leasehold/held.json
  [ -e "$leasehold_held" ] || return 0
  IFS= read -r leasehold_line <"$leasehold_held" || return 1
  case $leasehold_line in
  *'"entries":{}'*) return 0 ;;
  esac
  return 1
}
`

/** Is the store in its usual place? Any configuration that names a store makes that somebody else's question. */
const storeless = `leasehold_usual_store() {
  [ -z "\${LEASEHOLD_STORE-}" ] || return 1
  for leasehold_file in /etc/leasehold/config.yaml "\${XDG_CONFIG_HOME-}/leasehold/config.yaml" "\${HOME-}/.config/leasehold/config.yaml" .leasehold/config.yaml; do
    [ -e "$leasehold_file" ] || continue
    while IFS= read -r leasehold_line || [ -n "$leasehold_line" ]; do
      case $leasehold_line in
      *store* | *\\\\*) return 1 ;;
      esac
    done <"$leasehold_file" || return 1
  done
}
`

const quietCommit = `leasehold_nothing_to_judge() {
  leasehold_places && leasehold_usual_store && leasehold_holds_nothing || return 1
  [ ! -e "$leasehold_common/leasehold/moved" ] || return 1
  leasehold_log=$leasehold_common/leasehold/claims.jsonl
  if [ ! -e "$leasehold_log" ]; then
    [ ! -e "$leasehold_common/leasehold/format" ]
    return $?
  fi
  if [ -e "$leasehold_git/leasehold/worktree.json" ]; then
    IFS= read -r leasehold_line <"$leasehold_git/leasehold/worktree.json" || return 1
    case $leasehold_line in
    *'"ticket"'*) return 1 ;;
    esac
  fi
  LC_ALL=C grep -qE '"(path|branch):' "$leasehold_log" 2>/dev/null
  case $? in
  1) ;;
  0)
    [ -e "$leasehold_common/leasehold/hooks.quiet" ] || return 1
    IFS= read -r leasehold_line <"$leasehold_common/leasehold/hooks.quiet" || return 1
    [ "$leasehold_line" = "$(LC_ALL=C ls -lin "$leasehold_log" | (read -r a b c d e f g && echo "$a $f"))" ] || return 1
    ;;
  *) return 1 ;;
  esac
  git diff --cached --quiet --no-ext-diff -- .leasehold/tickets >/dev/null 2>&1
}
`

/**
 * Is this a commit of `git cherry-pick` or `git revert`, for which Git runs no other hook? They commit without `git commit`, which always
 * exports who the author is and when, or through one that they tell what it is for. A rebase's commits were judged where they were made.
 */
const unjudged = `leasehold_unjudged() {
  leasehold_places || return 1
  [ ! -e "$leasehold_git/rebase-merge" ] && [ ! -e "$leasehold_git/rebase-apply" ] || return 1
  case \${GIT_REFLOG_ACTION-} in
  cherry-pick* | revert*) return 0 ;;
  esac
  case "\${2-} \${GIT_AUTHOR_DATE-}" in
  'message @'*) return 1 ;;
  'message '*) return 0 ;;
  esac
  return 1
}
`

/** What Git takes for a comment, and whether the message keeps comments: of `--cleanup` only the command line of Git tells. */
const comments = `leasehold_comment_sign() {
  leasehold_sign=$(git config --get core.commentChar) || leasehold_sign=
  case $leasehold_sign in
  auto)
    # Git has chosen, and its own comments come first behind our trailers.
    leasehold_sign=\${leasehold_line%"\${leasehold_line#?}"}
    case $leasehold_sign in
    '#' | ';' | '@' | '!' | '$' | '%' | '^' | '&' | '|' | ':') ;;
    *) leasehold_sign='#' ;;
    esac
    ;;
  '') leasehold_sign='#' ;;
  esac
}
leasehold_keeps_comments() {
  leasehold_cleanup=$(git config --get commit.cleanup)
  leasehold_args=" $({ tr '\\0' ' ' <"/proc/$PPID/cmdline" || ps -o args= -p "$PPID"; } 2>/dev/null) "
  case $leasehold_args in
  *' --cleanup='* | *' --cleanup '*)
    leasehold_cleanup=\${leasehold_args##* --cleanup?}
    leasehold_cleanup=\${leasehold_cleanup%% *}
    ;;
  esac
  case $leasehold_cleanup in
  whitespace | verbatim | scissors) return 0 ;;
  esac
  return 1
}
`

const quietPush = `leasehold_nothing_to_judge() {
  [ -z "\${GIT_DIR-}\${GIT_COMMON_DIR-}" ] && [ -d .git ] && leasehold_usual_store || return 1
  [ ! -e .git/leasehold/claims.jsonl ] && [ ! -e .git/leasehold/format ] && [ ! -e .git/leasehold/moved ]
}
`

/**
 * One script for all hooks looks at the name it is called by, in itself or in what it reads: a shell script gets the one that it had. Not one
 * that needs its own file for more than where it lies and what it is called, nor one that follows the link that it is called by: ours is none.
 */
const calling = (name: HookName): string => `leasehold_previous() {
  IFS= read -r leasehold_line <"$leasehold_prev" || :
  case $leasehold_line in
  '#!'*[/\\ ]sh | '#!'*[/\\ ]bash | '#!'*[/\\ ]dash | '#!'*[/\\ ]sh' -'* | '#!'*[/\\ ]bash' -'*)
    if { [ ! -L "$leasehold_prev" ] || ! LC_ALL=C grep -qE 'readlink|realpath' "$leasehold_prev"; } &&
      ! LC_ALL=C grep -E '[$][{]?0|BASH_SOURCE' "$leasehold_prev" | LC_ALL=C grep -qvE 'dirname|basename|[$][{]0[#%]'; then
      \${leasehold_line#??} -c 'leasehold_prev=$1; shift; . "$leasehold_prev"' "\${0%/*}/${name}" "$leasehold_prev" "$@"
      return
    fi
    ;;
  esac
  "$leasehold_prev" "$@"
}
`

function hook(name: HookName, chain: boolean): string {
  const input = readsInput(name)
  const feed = input ? 'leasehold_input | ' : ''
  const capture = input
    ? `leasehold_input() {
  [ -z "$leasehold_lines" ] || printf '%s\\n' "$leasehold_lines"
}
`
    : ''
  const previous = chain
    ? `  leasehold_prev=\${0%/*}/${previousName(name)}
  if [ -x "$leasehold_prev" ] && [ -z "\${PRE_COMMIT_RUNNING_LEGACY-}" ]; then
    ${feed}leasehold_previous "$@" || return $?
  fi
`
    : ''
  return `${capture}${chain ? calling(name) : ''}leasehold_hook() {
${input ? '  leasehold_lines=$(cat)\n' : ''}${previous}${judging(name)}}
`
}

function judging(name: HookName): string {
  switch (name) {
    case 'prepare-commit-msg':
      return `  leasehold_judge=
  if leasehold_unjudged "$@" && ! leasehold_nothing_to_judge; then leasehold_judge=--judge; fi
  if [ -z "$leasehold_judge" ] && leasehold_places && leasehold_holds_nothing; then return 0; fi
  (leasehold_start $leasehold_judge "$@")
  leasehold_verdict $?
`
    case 'pre-commit':
    case 'pre-merge-commit':
    case 'pre-applypatch':
      return `  if leasehold_nothing_to_judge; then return 0; fi
  (git diff --cached --name-only --no-renames --ignore-submodules=none -z -- && printf '.\\0') 2>/dev/null | leasehold_start --staged
  leasehold_verdict $?
`
    case 'commit-msg':
      // The trailers were there before the message: one that was left empty has to stay empty for Git.
      return `  [ "\${GIT_EDITOR-}" != : ] && [ -f "\${1-}" ] || return 0
  leasehold_ours='' leasehold_sign='' leasehold_comments=''
  while IFS= read -r leasehold_line || [ -n "$leasehold_line" ]; do
    case $leasehold_line in
    Leasehold-Ticket:* | Leasehold-Lease:* | Leasehold-Token:*) leasehold_ours=: ;;
    *[![:space:]]*)
      # Above our trailers that is a subject: nothing needs to be asked.
      case $leasehold_ours$leasehold_line in [[:alpha:]]*) return 0 ;; esac
      [ -n "$leasehold_sign" ] || leasehold_comment_sign
      case $leasehold_line in
      "$leasehold_sign ------------------------ >8 "*) break ;;
      "$leasehold_sign"*) leasehold_comments=1 ;;
      *) return 0 ;;
      esac
      ;;
    esac
  done <"$1"
  [ -n "$leasehold_ours" ] || return 0
  if [ -n "$leasehold_comments" ] && leasehold_keeps_comments; then return 0; fi
  leasehold_say 'the message is empty but for our trailers, so nothing is committed'
  return 1
`
    case 'pre-push':
      return `  if leasehold_nothing_to_judge; then return 0; fi
  leasehold_input | leasehold_start "$@"
  leasehold_verdict $?
`
    case 'pre-receive':
      return `  leasehold_input | leasehold_start "$@"
  leasehold_verdict $?
`
  }
}

/** Lines for a script that somebody else owns and everybody shares: they call a script of ours, where there is one. */
export function callingLines(name: HookName): string {
  const find = `leasehold_hook=$(git rev-parse --git-common-dir)/${scriptsFolder}/${name}`
  if (!readsInput(name)) return `${find}\n[ ! -x "$leasehold_hook" ] || "$leasehold_hook" "$@" || exit $?\n`
  // What Git writes is read by us, and then there for whoever comes after us.
  return `${find}
if [ -x "$leasehold_hook" ]; then
  leasehold_lines=$(cat)
  { [ -z "$leasehold_lines" ] || printf '%s\\n' "$leasehold_lines"; } | "$leasehold_hook" "$@" || exit $?
  if [ -z "$leasehold_lines" ]; then
    exec </dev/null
  else
    exec <<LEASEHOLD_LINES
$leasehold_lines
LEASEHOLD_LINES
  fi
fi
`
}

/** The folder, in the git directory that all worktrees share, of the scripts that another manager's hooks call. */
export const scriptsFolder = 'leasehold-hooks'

/** What lefthook is told, in a file that is this machine's alone. A command would be left out where no file is staged or pushed; a script is not. */
export const lefthookLines = (names: readonly HookName[]): string =>
  names
    .map(
      name => `${name}:
  scripts:
    "${lefthookScript}":
      runner: sh
${readsInput(name) ? '      use_stdin: true\n' : ''}`,
    )
    .join('')

/** Name of the script that lefthook then runs, in a folder for each hook. */
export const lefthookScript = 'leasehold.sh'

/** What it does. */
export const lefthookScriptLines = (name: HookName): string =>
  `leasehold_hook=$(git rev-parse --git-common-dir)/${scriptsFolder}/${name}\n[ ! -x "$leasehold_hook" ] || exec "$leasehold_hook" "$@"\n`
