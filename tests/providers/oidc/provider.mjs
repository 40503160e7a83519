// An OpenID provider for the tests: node provider.mjs FOLDER PORT KEYS COUNT
//
// FOLDER has the package `oidc-provider`. KEYS is a file of signing keys, which is filled up to COUNT; the last one is published and signs.
// Its client `shop` gets tokens by its credentials. What a token is like says the `resource` that it is for:
// `urn:NAME:jwt|opaque:SECONDS` has the audience `urn:NAME`.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [folder, port, file, count] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(`${folder}/node_modules/${path}`));
const { default: Provider, errors } = await load('oidc-provider/lib/index.js');
const { exportJWK, generateKeyPair } = await load('jose/dist/node/esm/index.js');

const keys = existsSync(file) ? JSON.parse(readFileSync(file)) : [];
while (keys.length < Number(count)) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  keys.push({ ...await exportJWK(privateKey), alg: 'RS256', use: 'sig', kid: `key-${keys.length + 1}` });
}
writeFileSync(file, JSON.stringify(keys));

function token(resource) {
  const [urn, name, format, seconds] = resource.split(':');
  if (urn !== 'urn' || !['jwt', 'opaque'].includes(format)) throw new errors.InvalidTarget();
  return {
    scope: 'read write',
    audience: `urn:${name}`,
    accessTokenFormat: format,
    accessTokenTTL: Number(seconds),
    jwt: { sign: { alg: 'RS256' } },
  };
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: keys.slice(-1) },
  scopes: ['read', 'write'],
  clients: [{
    client_id: 'shop',
    client_secret: 'shop-secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:orders:opaque:600',
      getResourceServerInfo: (_, resource) => token(resource),
    },
  },
});
provider.listen(Number(port), '127.0.0.1');
