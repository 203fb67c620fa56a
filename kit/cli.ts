// The kit's own commands: `npm run kit -- COMMAND`. Each is a file in kit/commands/.
import { Command } from 'commander'
import { events } from './commands/events.ts'
import { jobs } from './commands/jobs.ts'
import { add, list, remove } from './commands/recipes.ts'
import { routes } from './commands/routes.ts'
import { token } from './commands/token.ts'

const program = new Command('npm run kit --')
  .description('The kit\'s own commands.')
  .showHelpAfterError('(npm run kit -- --help lists the commands, with a command its options)')

for (const command of [routes, token, jobs, events, list, add, remove]) {
  program.addCommand(command.copyInheritedSettings(program))
  for (const inner of command.commands) inner.copyInheritedSettings(program)
}

await program.parseAsync()
