import { existsSync, readFileSync } from 'node:fs'
import { runGit } from './git.ts'
import { below } from './paths.ts'

/** The references of a repository, as they are while one question is answered: each file is looked for once. */
export class References {
  readonly #commonDir: string
  readonly #commits = new Map<string, string | null>()
  #inFiles: boolean | undefined
  #packed: string | undefined

  constructor(commonDir: string) {
    this.#commonDir = commonDir
  }

  /** The commit that a full reference name stands for; null when there is no such reference. Starts no Git where references are files. */
  commitOf(reference: string): string | null {
    const known = this.#commits.get(reference)
    if (known !== undefined) return known
    this.#inFiles ??= !existsSync(below(this.#commonDir, 'reftable'))
    const commit = this.#inFiles ? this.#follow(reference) : this.#ask(reference)
    this.#commits.set(reference, commit)
    return commit
  }

  #follow(reference: string): string | null {
    let name = reference
    for (let hops = 0; hops < 5; hops++) {
      const said = textOf(below(this.#commonDir, name))?.trim() ?? this.#packedCommit(name)
      if (said === null) return null
      if (!said.startsWith('ref: ')) return isObjectId(said) ? said : null
      name = said.slice(5).trim()
    }
    return null
  }

  #packedCommit(name: string): string | null {
    this.#packed ??= textOf(below(this.#commonDir, 'packed-refs')) ?? ''
    const at = this.#packed.indexOf(` ${name}\n`)
    return at < 0 ? null : this.#packed.slice(this.#packed.lastIndexOf('\n', at) + 1, at)
  }

  #ask(reference: string): string | null {
    const args = ['--git-dir', this.#commonDir, 'rev-parse', '--verify', '--quiet', `${reference}^{commit}`]
    const answer = runGit(this.#commonDir, args)
    return answer.status === 0 ? answer.stdout.trim() : null
  }
}

/** The full name of the reference that a symbolic one (`HEAD`) leads to; null when it is none, or detached. */
export function symbolicTarget(gitDir: string, reference: string): string | null {
  const said = textOf(below(gitDir, reference))?.trim()
  const target = said?.startsWith('ref: ') === true ? said.slice(5).trim() : null
  if (target !== 'refs/heads/.invalid') return target
  // References are no files here.
  const answer = runGit(gitDir, ['--git-dir', gitDir, 'symbolic-ref', '--quiet', reference])
  return answer.status === 0 ? answer.stdout.trim() : null
}

const isObjectId = (text: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)

function textOf(path: string): string | null {
  // Asking first: most are missing, and an exception costs ten times the question.
  if (!existsSync(path)) return null
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Missing, a directory of that name, or not ours to read: no such reference, as far as we can see.
    return null
  }
}
