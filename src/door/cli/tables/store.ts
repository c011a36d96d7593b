import type { CommandSpec } from '../command.ts'

/** `lh store …` */
export const storeCommands: readonly CommandSpec[] = [
  {
    path: 'store move',
    usage: '',
    arity: [0, 0],
    summary: 'move the leases with their history to another store, and use that from then on',
    options: [
      { name: 'to', value: '<store>', doc: 'file:, file:///absolute/directory or etcd://host:2379/space, as in the setting store' },
      {
        name: 'join',
        doc: 'the other store has leases of its own: use those, if nobody holds anything here; the records here stay behind',
      },
      { name: 'back', doc: 'give up a move that was stopped half-way: the leases stay where they are' },
    ],
    details:
      'Holders keep their leases and tokens, with a whole TTL from now on; later tokens are larger. Nobody can claim or renew while it runs, and the old store refuses ' +
      'everybody afterwards, naming the new one. Stopped anywhere, the same command goes on. What is bound to a running process (lh exec, work, launch) cannot be moved.',
    examples: ['lh store move --to etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/team/repo', 'lh store move --to file:'],
    load: async () => (await import('../commands/store-move.ts')).storeMove,
  },
]
