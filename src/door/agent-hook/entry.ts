import { hook } from './main.ts'

// `hook.cjs <event>`, and what `lh hook <event>` becomes before anything else is loaded.
const argv = process.argv.slice(process.argv[2] === 'hook' ? 3 : 2)
const answer = argv[0] === '--keep' ? import('./keeper.ts').then(({ keeper }) => keeper(argv[1], process.env)) : hook(argv, process.env)
void answer.then(code => process.exit(code))
