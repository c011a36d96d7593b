// Loaded with --require: writes what this process used to descriptor 3 when it ends.
const fs = require('node:fs')

/** Peak resident memory, MiB. Not `maxRSS`, which Linux carries over from the parent at exec. */
function peak() {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))?.[1]) / 1024
  } catch {
    return process.resourceUsage().maxRSS / 1024
  }
}

process.on('exit', () => {
  const { userCPUTime, systemCPUTime } = process.resourceUsage()
  fs.writeSync(3, JSON.stringify({ cpu: (userCPUTime + systemCPUTime) / 1000, peak: peak() }))
})
