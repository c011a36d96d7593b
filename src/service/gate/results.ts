import { runGitIn, type GitPlace } from '../../host/git.ts'
import type { Definition, Mode, Stage } from './definition.ts'

// What the events of a ticket say about its gates.

/** `stale`: it passed, for other code or another command. `undefined`: the ticket names it, and nothing defines it. */
export type State = 'passed' | 'failed' | 'missing' | 'stale' | 'undefined'

/** An event as far as gates are concerned; tickets have more of it. */
export interface GateEvent {
  readonly type: string
  readonly [more: string]: unknown
}

export interface GateState<E extends GateEvent = GateEvent> {
  readonly key: string
  readonly stage: Stage
  /** Null when nothing defines it. */
  readonly mode: Mode | null
  readonly state: State
  /** Its newest result. */
  readonly event: E | null
}

/** Where a definition is found by its key: a `Map`, or `Definitions`. */
export interface Lookup {
  get(key: string): Definition | null | undefined
}

/** Is this event the result of a gate? */
export const isResult = (event: GateEvent): boolean => event.type === 'gate' && typeof event['gate'] === 'string'

/** The result that counts of each gate, from the events of a ticket in their order. */
export function newestResults<E extends GateEvent>(events: readonly E[]): ReadonlyMap<string, E> {
  const newest = new Map<string, E>()
  for (const event of events) {
    if (isResult(event)) newest.set(event['gate'] as string, event)
    // What was found good before it was reopened was not good enough.
    else if (event.type === 'reopened') newest.clear()
    else if (event.type === 'imported') takeOver(event['gate_results'], events, newest)
  }
  return newest
}

/** An import says how gates stand where it was imported from: by which result, or undecided (null), whatever came before. */
function takeOver<E extends GateEvent>(said: unknown, events: readonly E[], newest: Map<string, E>): void {
  if (typeof said !== 'object' || said === null) return
  for (const [gate, id] of Object.entries(said)) {
    const result = events.find(event => event['id'] === id && isResult(event))
    if (result === undefined) newest.delete(gate)
    else newest.set(gate, result)
  }
}

/** The state of each gate of a ticket, in the ticket's order. The worktree tells which code is there now. */
export function gateStates<E extends GateEvent>(
  definitions: Lookup,
  { gates }: { readonly gates: readonly string[] },
  events: readonly E[],
  worktree: GitPlace,
): readonly GateState<E>[] {
  const newest = newestResults(events)
  const code = worktree.root === null ? null : new Code(worktree)
  return [...new Set(gates)].map(key => {
    const definition = definitions.get(key) ?? null
    const event = newest.get(key) ?? null
    return {
      key,
      stage: definition?.stage ?? (event?.['stage'] === 'pre' ? 'pre' : 'post'),
      mode: definition?.mode ?? null,
      state: stateOf(definition, event, code),
      event,
    }
  })
}

function stateOf(definition: Definition | null, event: GateEvent | null, code: Code | null): State {
  if (definition === null) return 'undefined'
  if (event === null) return 'missing'
  if (event['result'] !== 'passed') return 'failed'
  // What a person decided against the command stands, whatever the code is now.
  if (event['override'] === true) return 'passed'
  const { command, commit } = event
  if (typeof command === 'string' && command !== definition.command) return 'stale'
  if (definition.mode === 'manual') return 'passed'
  // A word from when it was manual. What was imported may know neither command nor lease.
  if (typeof command !== 'string' && typeof event['lease_id'] === 'string') return 'stale'
  if (code === null) return 'passed'
  if (!code.isStill(typeof commit === 'string' ? commit : null)) return 'stale'
  // Changes that it ran with and that are gone: what is there now never passed.
  return event['dirty'] === true && !code.isDirty() ? 'stale' : 'passed'
}

/** The gates of a stage that are not passed. */
export const unmetGates = <E extends GateEvent>(states: readonly GateState<E>[], stage: Stage): readonly GateState<E>[] =>
  states.filter(gate => gate.stage === stage && gate.state !== 'passed')

/** Why a gate is not passed, and the command that changes that. */
export function gateAdvice({ key, mode, state }: GateState, ticketId: string): { readonly why: string; readonly command: string } {
  const why = {
    passed: 'passed',
    failed: 'failed',
    missing: mode === 'manual' ? 'not decided yet' : 'not run yet',
    stale: mode === 'manual' ? 'passed by a command, which it has no more' : 'passed for other code, or by another command',
    undefined: 'not defined',
  }[state]
  if (state === 'undefined') return { why, command: `lh gate define ${key} --command "…" (or --manual)` }
  return { why, command: mode === 'manual' ? `lh gate pass ${ticketId} ${key}` : `lh gate run ${ticketId} ${key}` }
}

/** What Git says of the code that a gate judges, asked once: everything but our own files, which the gate's own result changes. */
export class Code {
  readonly #place: GitPlace
  readonly #same = new Map<string, boolean>()
  #head: string | null | undefined
  #dirty: boolean | undefined

  constructor(place: GitPlace) {
    this.#place = place
  }

  /** Commit that is checked out; null before the first one. */
  get head(): string | null {
    if (this.#head === undefined) {
      const { status, stdout } = runGitIn(this.#place, ['rev-parse', '--quiet', '--verify', 'HEAD^{commit}'])
      this.#head = status === 0 ? stdout.trim() : null
    }
    return this.#head
  }

  /** Are there changes that no commit has? Files that Git does not know count, those that it ignores do not. */
  isDirty(): boolean {
    if (this.#dirty === undefined) {
      const args = ['--no-optional-locks', 'status', '--porcelain', '-z', '--untracked-files=normal', '--', '.', ':(exclude).leasehold']
      const { status, stdout } = runGitIn(this.#place, args)
      this.#dirty = status !== 0 || stdout !== ''
    }
    return this.#dirty
  }

  /** Is the code of this commit what is checked out now? Not when Git does not know the commit. */
  isStill(commit: string | null): boolean {
    if (commit === this.head) return true
    // A name that could be an option or a branch is no commit of ours.
    if (commit === null || this.head === null || !/^[0-9a-f]{40,64}$/.test(commit)) return false
    let same = this.#same.get(commit)
    if (same === undefined) {
      // Another commit of a submodule is other code, whatever `submodule.<name>.ignore` spares people from seeing.
      const args = [
        'diff',
        '--quiet',
        '--no-ext-diff',
        '--no-textconv',
        '--ignore-submodules=none',
        commit,
        this.head,
        '--',
        '.',
        ':(exclude).leasehold',
      ]
      this.#same.set(commit, (same = runGitIn(this.#place, args).status === 0))
    }
    return same
  }
}
