/** Loaded into a runner before anything else: tells on standard error who asks for a random value. */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const tell = (name) => process.stderr.write(`RANDOM ${name}${new Error().stack}\n`);

function trap(object, name) {
  const original = object[name];
  function trapped(...words) {
    tell(name);
    return original.apply(this, words);
  }
  Object.defineProperty(object, name, { value: trapped });
}

for (const name of [
  ...['randomBytes', 'randomInt', 'randomUUID', 'randomFill', 'randomFillSync', 'generateKey'],
  ...[
    'generateKeySync',
    'generateKeyPair',
    'generateKeyPairSync',
    'createDiffieHellman',
    'createECDH',
  ],
  ...['pseudoRandomBytes', 'sign'],
]) {
  trap(crypto, name);
}
trap(crypto.webcrypto.constructor.prototype, 'getRandomValues');
trap(crypto.webcrypto.constructor.prototype, 'randomUUID');
trap(Math, 'random');
syncBuiltinESMExports();
