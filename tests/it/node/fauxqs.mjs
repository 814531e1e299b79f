// Starts fauxqs on a free loopback port and prints the port. Ends when standard input does, so that it never
// outlives the test. Argument: the folder of node_modules. (fauxqs's own command binds every interface.)
import { pathToFileURL } from 'node:url';

const { buildApp } = await import(pathToFileURL(`${process.argv[2]}/fauxqs/dist/app.js`));
const app = buildApp({ logger: false });
await app.listen({ host: '127.0.0.1', port: 0 });
console.log(app.server.address().port);
process.stdin.on('end', () => process.exit(0)).resume();
