import { runCommand } from './run.ts'
import { launchCommands } from './tables/launch.ts'
// With the program, not when it asks: each further file costs a start.
import './commands/launch.ts'
import '../../service/ticket/spelling.ts'

// `lh launch`: a program of its own, so that an agent does not wait for the code of all other commands.

void runCommand(process.argv.slice(2), process.env, () => launchCommands).then(code => process.exit(code))
