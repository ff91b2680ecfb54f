// An OpenID Connect provider for a test: node oidc_provider.mjs FOLDER_OF_THE_PACKAGE PORT. Anybody may log in.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { generateKeyPairSync } from 'node:crypto'

const [folder, port] = process.argv.slice(2)
const resolved = createRequire(`${folder}/`).resolve('oidc-provider')
const { Provider } = await import(pathToFileURL(resolved))

const key = (kid, type, options, alg) =>
  ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' })
const keys = [
  key('rsa', 'rsa', { modulusLength: 2048 }, 'RS256'),
  key('ec', 'ec', { namedCurve: 'P-256' }, 'ES256'),
  key('ed', 'ed25519', {}, 'Ed25519'),
]
const audiences = { 'urn:cloudbay:app': 'ES256', 'urn:cloudbay:admin': 'RS256', 'urn:cloudbay:ed': 'Ed25519' }

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'Ed25519'] },
  cookies: { keys: ['only for a test'] },
  scopes: ['openid', 'stations:read'],
  clients: [
    {
      client_id: 'web',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/done'],
      response_types: ['code'],
      grant_types: ['authorization_code'],
    },
    {
      client_id: 'machine',
      client_secret: 'a secret of a test',
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
    },
  ],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (ctx, token) => token.accountId && {
    name: `${token.accountId} of the test`,
    groups: ['staff', token.accountId],
    auth_time: ctx.oidc.entities.AuthorizationCode?.authTime,
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'stations:read',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: audiences[resource] } },
      }),
    },
  },
})
provider.listen(Number(port), '127.0.0.1')
