import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isFault } from '../../../core/fault.ts'
import type { Repository } from '../../../host/git.ts'
import type { Diagnosis } from './finding.ts'
import { error, warning } from './finding.ts'
import type { Known, Lines } from './links.ts'

const folder = '.leasehold/gates'

/** Definitions that cannot be read, and gates that tickets name and nobody defined. Loads no YAML where there is no gate. */
export async function gateFaults(repository: Repository, known: ReadonlyMap<string, Known>, lines: Lines): Promise<readonly Diagnosis[]> {
  const names = namesIn(repository.root)
  const wanted = new Map<string, Known[]>()
  for (const ticket of known.values()) {
    for (const key of new Set(ticket.ticket.gates)) {
      const others = wanted.get(key)
      if (others === undefined) wanted.set(key, [ticket])
      else others.push(ticket)
    }
  }
  if (names.length === 0 && wanted.size === 0) return []
  const { Definitions, isGateKey } = await import('../../gate/definition.ts')
  const definitions = Definitions.open(repository)
  const faults: Diagnosis[] = []
  const here = new Set<string>()
  for (const name of names) {
    const key = name.endsWith('.yaml') ? name.slice(0, -'.yaml'.length) : ''
    here.add(key)
    if (!isGateKey(key)) {
      faults.push(
        warning(
          'stray-file',
          { file: `${folder}/${name}` },
          'this defines no gate: such a file is called <key>.yaml',
          `remove or rename ${folder}/${name}`,
        ),
      )
      continue
    }
    try {
      definitions.find(key)
    } catch (cause) {
      faults.push(broken(cause, `${folder}/${name}`, repository.root ?? ''))
    }
  }
  for (const [key, tickets] of wanted) {
    if (here.has(key) || isDefined(key, definitions.find.bind(definitions))) continue
    for (const ticket of tickets) {
      const { id } = ticket.ticket
      faults.push(
        error(
          'gate-unknown',
          { file: ticket.file, line: lines.ofItem(ticket, 'gates', key) },
          `the gate ${key} is not defined`,
          isGateKey(key)
            ? `lh gate define ${key} --command C, or --manual`
            : `take it out of the gates of ${id}: a gate is called like [a-z0-9._-]`,
        ),
      )
    }
  }
  return faults
}

function namesIn(root: string | null): readonly string[] {
  if (root === null) return []
  try {
    return readdirSync(join(root, folder))
      .filter(name => !name.startsWith('.') && name !== 'README.md')
      .toSorted((a, b) => (a < b ? -1 : 1))
  } catch {
    return []
  }
}

/** A definition of the main worktree that is broken is its own doctor's business. */
function isDefined(key: string, find: (key: string) => unknown): boolean {
  try {
    return find(key) !== null
  } catch {
    return true
  }
}

/** `lh gate define` keeps what it is not told, so it does not write over what it cannot read. */
const mendByHand = (file: string): string => {
  const key = file.slice(folder.length + 1, -'.yaml'.length)
  return `mend the file; or define the gate anew: rm -r ${file}; lh gate define ${key} --command C, or --manual`
}

/** The message begins with the place. */
function broken(cause: unknown, file: string, root: string): Diagnosis {
  const said = cause instanceof Error ? cause.message : String(cause)
  const whole = join(root, file)
  const [, line, rest] = said.startsWith(whole) ? (/^:(\d+)(?::\d+)?:? (.*)$/s.exec(said.slice(whole.length)) ?? []) : []
  const fix = isFault(cause) && cause.hint !== undefined ? cause.hint : mendByHand(file)
  return error(
    'gate-definition-broken',
    { file: file, line: line === undefined ? 1 : Number(line) },
    rest ?? said.replace(`${whole} `, '').replace(whole, file),
    fix,
  )
}
