import type { CommandSpec, OptionSpec } from '../command.ts'
import { opId, proof, reason, ttl, wait } from './options.ts'

const label: OptionSpec = { name: 'label', value: '<a,b>', doc: 'those with all of these labels' }
const bodyFile: OptionSpec = { name: 'body-file', value: '<file>', doc: 'the text below the front matter; - reads standard input' }
const message: OptionSpec = { name: 'message', value: '<text>', doc: 'what you have to say' }

const idForms =
  'A ticket is named by its id, its slug, the beginning of either (4 characters or more), or what it was called where it was imported from.'

/** `lh ticket …` */
export const ticketCommands: readonly CommandSpec[] = [
  {
    path: 'ticket create',
    usage: '',
    arity: [0, 0],
    summary: 'make a ticket, in intake',
    options: [
      { name: 'title', value: '<text>', doc: 'what it is about, on one line' },
      { name: 'kind', value: '<word>', doc: 'task unless told' },
      { name: 'priority', value: '<P0..P4>', doc: 'P0 is the most urgent; P2 unless told' },
      { name: 'label', value: '<a,b>', doc: 'labels, between commas' },
      { name: 'depends-on', value: '<ticket,…>', doc: 'tickets that have to be done first' },
      { name: 'gate', value: '<key,…>', doc: 'gates it has to pass; see lh gate define' },
      { name: 'slug', value: '<slug>', doc: 'the readable end of its id; made from the title unless told' },
      bodyFile,
    ],
    details:
      'A ticket is the directory .leasehold/tickets/<id>/ in this worktree: ticket.md (YAML front matter and Markdown) and events.jsonl. Commit it with your work. ' +
      'Its id, YYYYMMDD-HHMMSS-slug, never changes.',
    examples: [
      'lh ticket create --title "Fix the login form" --priority P1 --label ui',
      'lh ticket create --title "Faster start" --body-file - < notes.md',
    ],
    load: async () => (await import('../commands/ticket.ts')).create,
  },
  {
    path: 'ticket list',
    usage: '',
    arity: [0, 0],
    summary: 'the open tickets, in the order in which they would be handed out',
    options: [
      { name: 'status', value: '<status>', doc: 'open (unless told), pending, closed or all' },
      { name: 'state', value: '<state>', doc: 'intake, ready, queued, inprogress or done' },
      { name: 'priority', value: '<P0..P4>', doc: 'those of this priority' },
      label,
      { name: 'assignee', value: '<agent>', doc: 'those of this agent' },
      { name: 'ready', doc: 'those that lh ticket next may hand out now' },
      { name: 'blocked', doc: 'those that wait for another ticket, and for which' },
    ],
    load: async () => (await import('../commands/ticket.ts')).listAll,
  },
  {
    path: 'ticket show',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'everything about one ticket: its text, its events, who holds it, and what is in its way',
    options: [],
    details: idForms,
    load: async () => (await import('../commands/ticket.ts')).show,
  },
  {
    path: 'ticket edit',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'change its text, in your editor or from a file; needs its lease',
    options: [{ name: 'title', value: '<text>', doc: 'a new title' }, bodyFile, ...proof],
    details:
      'Without --title and --body-file it opens $VISUAL or $EDITOR. What cannot be taken is kept in a file that is named. Unknown keys, comments and line endings stay.',
    load: async () => (await import('../commands/ticket.ts')).edit,
  },
  {
    path: 'ticket set',
    usage: '<ticket> <key>=<value>…',
    arity: [2, 32],
    summary: 'change title, status, kind, priority, labels, workflow_state or assignee',
    options: [...proof],
    details:
      'labels and priority may be changed by anybody; the others need the ticket’s lease, and take it for the moment when nobody holds it. What is shown has to match in either case.',
    examples: ['lh ticket set fix-login priority=P0 labels=ui,urgent', 'lh ticket set fix-login status=pending'],
    load: async () => (await import('../commands/ticket.ts')).set,
  },
  {
    path: 'ticket comment',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'say something about it; anybody may',
    options: [message],
    examples: ['lh ticket comment fix-login --message "the form is the same in both places"'],
    load: async () => (await import('../commands/ticket.ts')).comment,
  },
  {
    path: 'ticket review',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'say what you think of the work; anybody may',
    options: [message, { name: 'verdict', value: '<verdict>', doc: 'approve or changes' }],
    examples: ['lh ticket review fix-login --verdict changes --message "the old form still answers"'],
    load: async () => (await import('../commands/ticket.ts')).review,
  },
  {
    path: 'ticket depend',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'let it wait for another ticket; a cycle is refused and printed',
    options: [
      { name: 'on', value: '<ticket>', doc: 'the one that has to be done first' },
      { name: 'remove', doc: 'wait for it no longer' },
    ],
    examples: ['lh ticket depend fix-login --on new-form'],
    load: async () => (await import('../commands/ticket.ts')).depend,
  },
  {
    path: 'ticket ready',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'it is clear what to do: from intake to ready (or back from queued or inprogress)',
    options: [...proof],
    load: async () => (await import('../commands/ticket.ts')).ready,
  },
  {
    path: 'ticket queue',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'hand it out before those that are only ready',
    options: [...proof],
    load: async () => (await import('../commands/ticket.ts')).queue,
  },
  {
    path: 'ticket start',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'claim it and set it in progress; needs its pre gates',
    options: [ttl, { ...reason, doc: 'why; kept in the log with the claim' }, wait, opId],
    details:
      'What crashed in between is finished by the same command. A ticket that is blocked, over or in intake is refused, with what to do.',
    load: async () => (await import('../commands/ticket.ts')).start,
  },
  {
    path: 'ticket done',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'finish it: needs its lease and its post gates; ends the lease',
    options: [...proof],
    details: 'From then on nobody is given it again, also where this branch is not merged yet, until it is reopened.',
    load: async () => (await import('../commands/ticket.ts')).done,
  },
  {
    path: 'ticket close',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'close it, whatever its state, with what became of it; ends its lease',
    options: [
      {
        name: 'resolution',
        value: '<text>',
        doc: 'what became of it; written to resolution.md; another one for what is closed already is refused',
      },
      ...proof,
    ],
    load: async () => (await import('../commands/ticket.ts')).close,
  },
  {
    path: 'ticket reopen',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'work on it once more: it is ready, and nobody’s',
    options: [{ ...reason, doc: 'why; kept with the ticket' }, ...proof],
    load: async () => (await import('../commands/ticket.ts')).reopen,
  },
  {
    path: 'ticket next',
    usage: '',
    arity: [0, 0],
    summary: 'the next ticket: by priority, queued before ready, oldest first; --claim takes it in the same step',
    options: [
      label,
      { name: 'priority', value: '<P0..P4>', doc: 'of this priority' },
      { name: 'claim', doc: 'take it; no two callers get the same one' },
      ttl,
      { ...reason, doc: 'with --claim: why; kept in the log' },
    ],
    details:
      'It exits 0 with no ticket when none is ready, and says in words why not. A ticket that anybody holds, you too, is not handed out.',
    examples: ['lh ticket next --claim --json', 'lh ticket next --label ui'],
    load: async () => (await import('../commands/ticket.ts')).next,
  },
  {
    path: 'ticket doctor',
    usage: '',
    arity: [0, 0],
    summary: 'every fault of the tickets of this worktree, with file, line and what to do; exit 2 when there is an error among them',
    options: [{ name: 'fix', doc: 'mend what can be mended without losing anything, and show it as a diff' }],
    details:
      'It looks at ids, front matter, dependencies, gates, events and at what the log says of claims. With --fix it adds the line to .gitattributes, ' +
      'puts events in order, drops doubled ones, keeps both sides of an unfinished merge of events, writes out abbreviated dependencies and removes ' +
      'what an interrupted command left; a ticket.md whose ticket somebody else holds is not touched. What it says then is what is still wrong.',
    load: async () => (await import('../commands/ticket-doctor.ts')).ticketDoctor,
  },
  {
    path: 'ticket import',
    usage: '<directory|file>',
    arity: [1, 1],
    summary: 'take over the tickets of another tracker: ids, states, dependencies, gates and their results, threads',
    options: [
      { name: 'from', value: '<tracker>', doc: 'which tracker wrote it: yoi, jit, beads or github' },
      { name: 'dry-run', doc: 'say what would be done, and write nothing' },
    ],
    details:
      'Each ticket comes over as a whole or not at all, and twice changes nothing: a run that was stopped is finished by the next. A later import ' +
      'brings what is new in the source, field by field, except where the ticket was changed here since; a ticket that somebody else holds is skipped, and so is one that you hold and that would be closed. ' +
      'What has no place in a ticket is listed and kept in its event `imported`; the old id stays in legacy_ticket, and finds the ticket. ' +
      'A gate that tickets need and nothing defines becomes a manual one.',
    examples: [
      'lh ticket import --from jit .jit',
      'lh ticket import --from beads .beads/issues.jsonl --dry-run',
      'gh issue list --state all --limit 1000 --json number,title,body,state,stateReason,labels,assignees,author,comments,createdAt,updatedAt,closedAt,milestone,url > issues.json && lh ticket import --from github issues.json',
    ],
    load: async () => (await import('../commands/import.ts')).importFrom,
  },
]
