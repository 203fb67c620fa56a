// The kit's own commands: `npm run kit -- COMMAND`. Each is a file in kit/commands/.
import { Command } from 'commander'
import { events } from './commands/events.ts'
import { routes } from './commands/routes.ts'

const program = new Command('npm run kit --')
  .description('The kit\'s own commands.')
  .showHelpAfterError('(npm run kit -- --help lists the commands, with a command its options)')

for (const command of [events, routes]) program.addCommand(command.copyInheritedSettings(program))

await program.parseAsync()
