// Starts kinesis-local on a free loopback port and prints the port. Ends when standard input does, so that it never
// outlives the test. Argument: the folder of node_modules. (kinesis-local itself binds every interface.)
import { createRequire } from 'node:module';
import { Server } from 'node:net';

// Each of its two servers asks for a port; this is the one without TLS.
const PLAIN_PORT = 4568;
const print = console.log;
const { listen } = Server.prototype;
Server.prototype.listen = function (port, ...rest) {
  this.once('listening', () => port === PLAIN_PORT && print(this.address().port));
  return listen.call(this, { host: '127.0.0.1', port: 0 }, rest.find((it) => typeof it === 'function'));
};
Object.assign(process.env, {
  KINESIS_MOCK_PLAIN_PORT: String(PLAIN_PORT),
  SHARD_LIMIT: '10000',
  LOG_LEVEL: 'ERROR',
});
for (const change of ['CREATE_STREAM', 'DELETE_STREAM', 'SPLIT_SHARD', 'MERGE_SHARDS', 'REGISTER_STREAM_CONSUMER']) {
  process.env[`${change}_DURATION`] = '10ms';
}
// Nobody reads on.
console.log = console.warn = console.error = () => {};
process.stdout.on('error', () => {});
process.stdin.on('end', () => process.exit(0)).resume();
// It looks for its files beside itself.
process.chdir(`${process.argv[2]}/kinesis-local`);
createRequire(import.meta.url)(`${process.argv[2]}/kinesis-local/main.js`);
