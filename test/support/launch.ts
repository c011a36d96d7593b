import fs from 'node:fs'
import path from 'node:path'
import { afterEach, expect } from 'vitest'
import { type Agent, type Doc, type Result, type Running, folder, isRunning, parse, signal, until } from './cli.ts'
import type { Fields } from './tickets.ts'
import { type Shop, id, shop } from './work.ts'

// Launches as a person sees them: a scripted agent that can fail wherever an agent can, and what is left of it afterwards.

/**
 * The scripted agent. Its first argument is a word for what it does; it starts in a millisecond, so that many can be started. Each start
 * leaves its pid in `$AGENT_DIR/starts`, and `work` ends when `$AGENT_DIR/stop` appears.
 */
const script = `#!/bin/sh
echo $$ >> "$AGENT_DIR/starts"
ready() { eval "echo >&$LEASEHOLD_READY_FD"; }
idle() { while [ ! -e "$AGENT_DIR/stop" ]; do sleep 0.05; done; exit "\${AGENT_CODE:-0}"; }
deaf() { trap '' TERM INT HUP; : > "$AGENT_DIR/deaf"; while :; do sleep 1; done; }
case $1 in
work) ready; idle ;;
late) while [ ! -e "$AGENT_DIR/go" ]; do sleep 0.02; done; ready; idle ;;
alive) idle ;;
exit) printf 'first words\\nlast words %s\\n' "$2"; echo 'on stderr' >&2; exit "$2" ;;
signal) kill -s "$2" $$; sleep 5 ;;
garbage) head -c 300000 /dev/urandom; head -c 3000000 /dev/zero; echo; echo 'not { json'; exec sleep 1000 ;;
silent) exec sleep 1000 ;;
closes) eval "exec $LEASEHOLD_READY_FD>&-"; sleep 1000 ;;
family) sleep 1001 & setsid sleep 1002 & setsid sh -c 'sleep 1003 & exec sleep 1004' & : > "$AGENT_DIR/family"; sleep 1000 ;;
shuts) : > "$AGENT_DIR/shuts"; exec bash -c 'for n in {3..200}; do eval "exec $n>&-"; done; exec sleep 1000' ;;
blank)
  setsid env -i PATH="$PATH" AT="$AGENT_DIR/blank" sh -c 'echo $$ > "$AT.new"; mv "$AT.new" "$AT"; exec env -i sleep 1005' <&- >&- 2>&- &
  while [ ! -e "$AGENT_DIR/blank" ]; do sleep 0.02; done; [ -z "$2" ] || exit "$2"; sleep 1000 ;;
scribbles) for n in 4 5 6 7 8 9; do (eval "echo scribble >&$n") 2> /dev/null; done; sleep 0.3; ready; idle ;;
deaf) setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 1; done' & deaf ;;
signals)
  for name in TERM INT HUP USR1 USR2; do trap "echo $name >> $AGENT_DIR/signals; [ $name = TERM ] && exit 7" $name; done
  [ -z "$LEASEHOLD_READY_FD" ] || ready; echo ready; while :; do sleep 0.05; done ;;
output) echo 'warming up'; echo 'ready to serve'; idle ;;
run) ready; shift; "$@" > "$AGENT_DIR/run.out" 2>&1; echo $? > "$AGENT_DIR/run.code"; idle ;;
first) shift; { "$@" > "$AGENT_DIR/run.out" 2>&1; echo $? > "$AGENT_DIR/run.code"; } & sleep 0.4; ready; wait; idle ;;
env) env > "$AGENT_DIR/env"; pwd > "$AGENT_DIR/pwd"; ready; idle ;;
chat) ready; head -c 320000 /dev/zero | tr '\\0' x; echo; echo 'last words'; exit 0 ;;
talk) ready; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo 'last words'; exit 0 ;;
flood) head -c 700000000 /dev/zero; exec sleep 1000 ;;
parent) ready; sleep 1001 & exit 0 ;;
esac
`

/**
 * A client that speaks and stores as Claude Code does: it says who it is, perhaps waits for `$AGENT_DIR/go`, answers or does not, and keeps
 * a file for its session. `$CLAUDE_DOES` is `reject`, `hang`, `wait`, `forget`, `late` (it keeps its file only after `$AGENT_DIR/go`) or nothing.
 */
const client = `#!/bin/sh
echo $$ >> "$AGENT_DIR/starts"
echo "$@" >> "$AGENT_DIR/calls"
id=none
while [ $# -gt 0 ]; do case $1 in --session-id|--resume) id=$2; shift ;; esac; shift; done
printf '{"type":"system","subtype":"init","session_id":"%s","model":"fake"}\\n' "$id"
case $CLAUDE_DOES in
reject) printf '{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key","session_id":"%s"}\\n' "$id"; sleep 1000 ;;
hang) exec sleep 1000 ;;
wait) while [ ! -e "$AGENT_DIR/go" ]; do sleep 0.02; done ;;
esac
mkdir -p "$HOME/.claude/projects/-somewhere"
keep() { echo '{}' > "$HOME/.claude/projects/-somewhere/$id.jsonl"; }
case $CLAUDE_DOES in forget|late) ;; *) keep ;; esac
printf '{"type":"assistant","message":{"role":"assistant","model":"fake","content":[{"type":"text","text":"hello"}]},"session_id":"%s"}\\n' "$id"
[ "$CLAUDE_DOES" != late ] || { while [ ! -e "$AGENT_DIR/go" ]; do sleep 0.02; done; keep; }
while [ ! -e "$AGENT_DIR/stop" ]; do sleep 0.05; done
exit "\${AGENT_CODE:-0}"
`

/** A shop whose agents are scripted, and where it can be seen what they left. */
export interface Stage extends Shop {
  /** What the agents leave behind and wait for. */
  readonly dir: string
  /** The temporary files of everything that runs here. */
  readonly temporary: string
  /** Somebody who launches. */
  readonly launcher: Agent
  /** The command of a scripted agent. */
  readonly agent: (...words: readonly string[]) => readonly string[]
  /** The command of the client that stores its sessions. */
  readonly claude: readonly string[]
  /** What it stores. */
  readonly stored: () => readonly string[]
}

/** Makes one. */
export function stage(fields: Fields = {}): Stage {
  const all = shop(fields)
  const [dir, temporary, home] = [folder('agents-'), folder('tmp-'), folder('home-')]
  const file = path.join(dir, 'agent')
  fs.writeFileSync(file, script, { mode: 0o755 })
  const claude = path.join(dir, 'claude')
  fs.writeFileSync(claude, client, { mode: 0o755 })
  const launcher = all.repo.as(null, { AGENT_DIR: dir, TMPDIR: temporary, HOME: home })
  const sessions = path.join(home, '.claude', 'projects', '-somewhere')
  stages.add(dir)
  return {
    ...all,
    dir,
    temporary,
    launcher,
    agent: (...words) => ['--', file, ...words],
    claude: ['--', claude, '-p', '--output-format', 'stream-json', '--verbose', 'work on it'],
    stored: () => (fs.existsSync(sessions) ? fs.readdirSync(sessions).map(name => path.join(sessions, name)) : []),
  }
}

const stages = new Set<string>()
afterEach(() => {
  for (const dir of stages) for (const pid of processesOf(dir)) signal(pid, 'SIGKILL')
  stages.clear()
})

/** The usual way to launch: the agent says itself that it works. */
export const launching = '--json launch fix-login --role dev --ready fd'

/** The same with the client that can open its sessions again. */
export const opening = '--json launch fix-login --role dev'

/** Who acts when a person looks at a stage. */
export const person = ({ repo }: Stage): Agent => repo.as('human:ada')

/** The environment that a process was started with; null when it is gone or not to be read. */
export function environmentOf(pid: number): Readonly<Record<string, string>> | null {
  try {
    const entries = fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    return Object.fromEntries(
      entries.filter(entry => entry.includes('=')).map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    )
  } catch {
    return null
  }
}

/** Everything that a launch started here and that still runs. */
export function processesOf(dir: string): readonly number[] {
  return fs
    .readdirSync('/proc')
    .filter(name => /^[0-9]+$/.test(name))
    .map(Number)
    .filter(pid => {
      const env = environmentOf(pid)
      return env?.['AGENT_DIR'] === dir && env['LEASEHOLD_LAUNCH_ID'] !== undefined && isRunning(pid)
    })
}

const linesOf = (file: string): readonly string[] =>
  fs.existsSync(file)
    ? fs
        .readFileSync(file, 'utf8')
        .split('\n')
        .filter(line => line !== '')
    : []

/** The pids of all agents that were ever started here. */
export const starts = ({ dir }: Stage): readonly number[] => linesOf(path.join(dir, 'starts')).map(Number)

/** Something that an agent wrote. */
export const wrote = ({ dir }: Stage, name: string): readonly string[] => linesOf(path.join(dir, name))

/** Tells the agents something. */
export const tell = ({ dir }: Stage, name: string): void => fs.writeFileSync(path.join(dir, name), '')
export const untell = ({ dir }: Stage, name: string): void => fs.rmSync(path.join(dir, name), { force: true })

/** Files of locks, by what they are for. */
export const locksOf = ({ repo }: Stage): readonly string[] =>
  fs.existsSync(path.join(repo.store, 'locks'))
    ? fs.readdirSync(path.join(repo.store, 'locks')).filter(name => /^(?:reserve|live)-/.test(name))
    : []

/** The document that a launch with `--json` prints when its agent works. */
export function accepted(running: Running): Promise<Doc> {
  return until(() => {
    if (running.child.exitCode !== null) throw new Error(`the launch ended: ${running.stdout}${running.stderr}`)
    return running.stdout.includes('\n') ? parse(running.stdout) : null
  }, 'the launch succeeds')
}

/** Launches and waits for the acceptance. */
export async function launched(
  all: Stage,
  words = launching,
  ...agent: readonly string[]
): Promise<{ readonly running: Running; readonly doc: Doc }> {
  const running = all.launcher.start(words, ...(agent.length === 0 ? all.agent('work') : agent))
  return { running, doc: await accepted(running) }
}

/** Lets the agents end, and waits for the launch. */
export async function ending(all: Stage, running: Running): Promise<Result> {
  tell(all, 'stop')
  const result = await running.ended
  untell(all, 'stop')
  return result
}

/** What `lh status`, `lh session list` and `lh claim list` know. */
export async function known(
  all: Stage,
): Promise<{ readonly leases: readonly Doc[]; readonly sessions: readonly Doc[]; readonly pending: readonly Doc[] }> {
  const look = person(all)
  const before = all.repo.log()
  const [status, { sessions }, { leases }] = await Promise.all([look.ok('status'), look.ok('session list'), look.ok('claim list --all')])
  // What was written meanwhile, one of them has seen and another has not.
  if (all.repo.log() !== before) return known(all)
  expect(status.sessions.map((session: Doc) => session.name)).toEqual(sessions.map((session: Doc) => session.name))
  return { leases: leases.filter((lease: Doc) => lease.standing !== 'ended'), sessions, pending: status.pending }
}

/** A launcher knows its agent a moment after that runs: what kills the launcher waits for this. */
export const noted = (all: Stage, agent: number): Promise<unknown> =>
  until(async () => (await known(all)).pending.some(pending => pending.agent_pid === agent), 'its launcher knows its agent')

/** There is no trace of a launch: no record since `before`, no claim, session, reservation, process or file. */
export async function expectNothingLeft(all: Stage, before: readonly string[], what = ''): Promise<void> {
  expect(processesOf(all.dir), `${what}: processes`).toEqual([])
  expect(all.repo.story(), `${what}: records`).toEqual(before)
  expect(await known(all), what).toEqual({ leases: [], sessions: [], pending: [] })
  expect(locksOf(all), `${what}: files of locks`).toEqual([])
  expect(fs.readdirSync(all.temporary), `${what}: temporary files`).toEqual([])
}

/** The same command works at once, and ends with nothing held. */
export async function expectRetryWorks(all: Stage): Promise<void> {
  const { running, doc } = await launched(all)
  expect(doc).toMatchObject({ ok: true, lease: { resource: `ticket:${id}` }, session: { state: 'live' } })
  expect(await ending(all, running)).toMatchObject({ code: 0 })
  expect((await known(all)).leases).toEqual([])
}

export { id }
