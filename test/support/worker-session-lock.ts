import { createInterface } from 'node:readline'
import { LockDirectory } from '../../src/service/session-lock/binding.ts'
import { Guard } from '../../src/service/session-lock/guard.ts'
import { elapsedMs } from '../../src/service/session-lock/moment.ts'

// A hook that lives on: `enter <when> <workspace>` takes the lock at that moment and says who has it, `leave` gives it back, `stop` stops
// this process while it keeps others from writing.

const [, , runtime = '', sessionId = ''] = process.argv
const directory = new LockDirectory(runtime)
const guard = (): Guard => new Guard(directory, { sessionId, agent: 'codex', cwd: '/', env: {} }, elapsedMs() + 20_000)

createInterface({ input: process.stdin }).on('line', line => {
  const [command, when, workspace = ''] = line.split(' ')
  if (command === 'enter') {
    while (Date.now() < Number(when)) {
      // At one instant, not one after the other.
    }
    const result = guard().enter([workspace], 300_000, null)
    console.log(result?.acquired === true ? `won ${result.how}` : `lost to ${result?.holder.session_id}`)
  } else if (command === 'leave') {
    guard().releaseAll()
    console.log('left')
  } else if (command === 'stop') {
    directory.locked(elapsedMs() + 1000, () => {
      console.log('stopped')
      process.kill(process.pid, 'SIGSTOP')
    })
    console.log('went on')
  }
})
console.log('ready')
