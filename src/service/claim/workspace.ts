import { existsSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Caller } from '../../coordinator.ts'
import { Coordinator } from '../../coordinator.ts'
import { isFault } from '../../core/fault.ts'
import type { Holder } from '../../core/lease.ts'
import { makePolicy } from '../../core/policy.ts'
import { parseResource } from '../../core/resource.ts'
import { asInside, findRepository } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { below, storeDirectory } from '../../host/paths.ts'
import { ancestors, bootId, hostname } from '../../host/process.ts'
export { withoutRepository } from '../../host/git-run.ts'
import type { Store } from '../../store/store.ts'
import type { Config, Flags } from '../config/layers.ts'
import { loadConfig, loadFaultyConfig } from '../config/layers.ts'
import { resolveAgent, resolveSession, resolveWitness } from '../identity/agent.ts'
import type { Agent, Session } from '../identity/agent.ts'
import { ensureWorktree, readWorktree } from '../identity/worktree.ts'
import { baseMayHaveTickets } from '../../host/base-commit.ts'

/** What a store needs to know to be opened; the concrete store is chosen by whoever calls. */
export interface StoreSettings {
  readonly directory: string
  readonly shared: boolean
  readonly lockWaitMs: number
  readonly retention: { readonly segmentBytes: number; readonly maxAgeMs: number; readonly maxBytes: number }
  readonly limits: { readonly max_indefinite_leases_per_agent: number; readonly max_indefinite_leases_per_repo: number }
  /** Of them, those that somebody chose: what is only a default says nothing of a store. */
  readonly limitsChosen: readonly (keyof StoreSettings['limits'])[]
  readonly allowUnsafeFs: boolean
  readonly resident: boolean
  /** Where the leases are in etcd; then `directory` only has what belongs to this clone. */
  readonly etcd?: EtcdSettings
  /** Where they are not to be in the store beside the repository: that one is asked whether it is the right one. */
  readonly elsewhere?: { readonly directory: string; readonly name: string; readonly said: string }
}

/** An etcd store as the configuration names it. */
export interface EtcdSettings {
  readonly url: string
  /** Hosts that a password may be sent to, without ports. */
  readonly hosts: readonly string[]
  readonly access: {
    readonly user: string | null
    readonly passwordFile: string | null
    readonly caFile: string | null
    readonly certFile: string | null
    readonly keyFile: string | null
  }
}

export interface WorkspaceOptions<S extends Store = Store> {
  /** Where the caller stands, or `--repo`. */
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
  /** A promise for a store whose code has to be loaded first. */
  readonly open: (settings: StoreSettings) => S | Promise<S>
  readonly flags?: Flags
  /** `--agent`. */
  readonly agent?: string | undefined
  readonly resident?: boolean
  readonly allowUnsafeFs?: boolean
  /** Open what the configuration names, whether or not this repository's leases are there: for whoever moves them. */
  readonly anyStore?: boolean
  /** Go on although something is wrong with the configuration: for whoever mends it. */
  readonly faultyConfig?: boolean
}

/** Who the caller is, and where each part of that came from. */
export interface Identity {
  readonly holder: Holder
  readonly origins: { readonly agent: string; readonly worktree: string; readonly session: string; readonly witness: string }
  readonly warning: string | null
}

/** What is known where nobody has said who acts. */
export type Nobody = Omit<Identity, 'holder'> & { readonly holder: Omit<Holder, 'agentId'> & { readonly agentId: null } }

/** One repository as a command sees it: its configuration, its store, and who is asking. */
export class Workspace<S extends Store = Store> {
  readonly repository: Repository
  readonly config: Config
  readonly store: S
  readonly coordinator: Coordinator
  readonly #options: WorkspaceOptions<S>

  private constructor(options: WorkspaceOptions<S>, repository: Repository, config: Config, store: S) {
    this.#options = options
    this.repository = repository
    this.config = config
    this.store = store
    const policy = makePolicy({
      ttlSecs: config.get('ttl') / 1000,
      staleSecs: config.get('stale_after') / 1000,
      maxIndefinitePerAgent: config.get('max_indefinite_leases_per_agent'),
      maxIndefinitePerRepo: config.get('max_indefinite_leases_per_repo'),
    })
    this.coordinator = new Coordinator(this.store, policy, `${hostname()}/${bootId()}`)
  }

  /** Finds the repository and reads its configuration. Throws `usage` outside Git; makes nothing. */
  static async open<S extends Store>(options: WorkspaceOptions<S>): Promise<Workspace<S>> {
    const repository = findRepository(options.directory, options.env)
    const read = options.faultyConfig === true ? loadFaultyConfig : loadConfig
    const config = await read(repository, options.env, options.flags)
    return new Workspace(options, repository, config, await options.open(storeSettings(options, repository, config)))
  }

  /** How the store beside the repository is opened, whichever the configuration names. */
  beside(): StoreSettings {
    const { etcd: _, elsewhere: __, ...settings } = storeSettings(this.#options, this.repository, this.config)
    return { ...settings, directory: storeDirectory(this.repository.commonDir) }
  }

  /** May other clones keep their leases here too? Of their worktrees and tickets nothing is known in this one. */
  get mayHaveOtherClones(): boolean {
    return this.config.get('store') !== 'file:'
  }

  /** The canonical key of a spelling. */
  resource(text: string): string {
    const { root } = this.repository
    const isAbsolutePath = root !== null && text[5] === '/' && text.slice(0, 5).toLowerCase() === 'path:'
    // A shell says where it stands as it came there, through symbolic links; Git says where that is.
    return parseResource(isAbsolutePath ? `path:${asInside(root, text.slice(5))}` : text, this.repository)
  }

  /** Could there be tickets? No is certain; yes is for whoever knows tickets to look at. */
  get mayHaveTickets(): boolean {
    const { kind, root, commonDir } = this.repository
    if (root !== null && existsSync(below(root, '.leasehold/tickets'))) return true
    // The main worktree's tickets are seen from here; where it cannot be told at once, there may be some.
    if (kind !== 'main' && (basename(commonDir) !== '.git' || existsSync(below(dirname(commonDir), '.leasehold/tickets')))) return true
    // An older branch is checked out here, or only a part of the files.
    return baseMayHaveTickets(this.repository, this.config.get('base_branch'))
  }

  /** Who asks; writes the worktree's identity if it is new (`whoami` only looks). Throws `policy` when nobody can be named. */
  async identify(look: 'write' | 'look' = 'write'): Promise<Identity> {
    const session = this.#session()
    return this.#identityOf(await this.#agent(session), session, look)
  }

  /** The same for whoever only wants to know: where nobody can be named, `agentId` is null and its origin says what to do. */
  async whoIsHere(): Promise<Identity | Nobody> {
    let session: Session | null = null
    try {
      session = this.#session()
      return this.#identityOf(await this.#agent(session), session, 'look')
    } catch (error) {
      if (!isFault(error) || error.code !== 'policy') throw error
      const origin = error.hint === undefined ? error.message : `${error.message} ${error.hint}`
      const { holder, ...rest } = this.#identityOf({ agentId: '', origin }, session, 'look')
      return { ...rest, holder: { ...holder, agentId: null } }
    }
  }

  #session(): Session | null {
    return resolveSession(this.#options.env, () => ancestors(process.pid))
  }

  #agent(session: Session | null): Promise<Agent> {
    const { config } = this
    const { env, agent } = this.#options
    return resolveAgent({
      flag: agent,
      env,
      config: config.origin('agent.id') === 'user file' ? config.get('agent.id') : null,
      session,
      gitUserName: () => config.gitUserName(),
    })
  }

  #identityOf(named: Agent, session: Session | null, look: 'write' | 'look'): Identity {
    if (look === 'write') this.store.ready?.()
    const worktree = look === 'write' ? ensureWorktree(this.repository) : readWorktree(this.repository)
    const witness = resolveWitness(this.#options.env)
    return {
      holder: {
        agentId: named.agentId,
        worktreeId: worktree.worktreeId,
        sessionId: session?.sessionId ?? null,
        witness: witness?.witness ?? null,
      },
      origins: {
        agent: named.origin,
        worktree: worktree.written ? `${worktree.root} (recorded)` : worktree.root,
        session: session?.origin ?? 'none: not inside an agent',
        witness: witness?.origin ?? 'none: no long-lived process is known',
      },
      warning: worktree.warning ?? null,
    }
  }

  /** The caller of a command that changes something. */
  async caller(opId: string | undefined): Promise<Caller & Identity> {
    const identity = await this.identify()
    const launchId = this.#options.env['LEASEHOLD_LAUNCH_ID']
    return { ...identity, ...(opId === undefined ? {} : { opId }), ...(launchId ? { launchId } : {}) }
  }

  /** The caller of a repair, which needs nobody's name. */
  system(): Caller {
    return { holder: { agentId: 'system', worktreeId: 'wt:00000000', sessionId: null, witness: null } }
  }
}

function storeSettings<S extends Store>(options: WorkspaceOptions<S>, repository: Repository, config: Config): StoreSettings {
  const chosen = (['max_indefinite_leases_per_agent', 'max_indefinite_leases_per_repo'] as const).filter(
    key => config.origin(key) !== 'default',
  )
  const where = config.get('store')
  const isEtcd = where.startsWith('etcd')
  const beside = storeDirectory(repository.commonDir)
  const directory = where === 'file:' || isEtcd ? beside : where.slice('file://'.length)
  const isBeside = !isEtcd && directory === beside
  return {
    directory,
    shared: repository.shared,
    lockWaitMs: config.get('lock_wait'),
    retention: {
      segmentBytes: config.get('log.segment_size'),
      maxAgeMs: config.get('log.retention'),
      maxBytes: config.get('log.retention_size'),
    },
    limits: {
      max_indefinite_leases_per_agent: config.get('max_indefinite_leases_per_agent'),
      max_indefinite_leases_per_repo: config.get('max_indefinite_leases_per_repo'),
    },
    limitsChosen: chosen,
    allowUnsafeFs: options.allowUnsafeFs === true,
    resident: options.resident === true,
    ...(isEtcd ? { etcd: etcdSettings(where, config) } : {}),
    ...(isBeside || options.anyStore === true ? {} : { elsewhere: { directory: beside, name: where, said: config.origin('store') } }),
  }
}

const etcdSettings = (url: string, config: Config): EtcdSettings => ({
  url,
  hosts: (config.get('etcd.hosts') ?? '').split(',').map(host => host.trim().toLowerCase()),
  access: {
    user: config.get('etcd.user'),
    passwordFile: config.get('etcd.password_file'),
    caFile: config.get('etcd.ca_file'),
    certFile: config.get('etcd.cert_file'),
    keyFile: config.get('etcd.key_file'),
  },
})
