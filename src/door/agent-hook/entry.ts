import { hook } from './main.ts'

// `hook.cjs <event>`, and what `lh hook <event>` becomes before anything else is loaded.
void hook(process.argv.slice(process.argv[2] === 'hook' ? 3 : 2), process.env).then(code => process.exit(code))
