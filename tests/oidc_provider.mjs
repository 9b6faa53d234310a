// A real OpenID provider for the tests: the package oidc-provider, with an account for whoever signs in.
//
//   node oidc_provider.mjs DIRECTORY_WITH_NODE_MODULES [SWITCH …]
//
// Prints `issuer URL` when it listens. Its page for people takes a form: `sub`, and `claims` as JSON; or `deny`.
// Switches:
//   --port N           listen there; any port without it
//   --tls FILE         HTTPS as `localhost`, with the key and the certificate in this PEM file
//   --secret TEXT      the client's secret; a public client without it
//   --post             takes the secret in the body only
//   --claims-in-token  all claims in the ID token, not only at the userinfo endpoint
//   --rewrite-nonce    signs another nonce than it was asked for
//   --expired-tokens   ID tokens that ended an hour ago
//   --other-person     tells of another person at the userinfo endpoint
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { positionals: [directory], values: switches } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: 'string', default: '0' },
    tls: { type: 'string' },
    secret: { type: 'string' },
    post: { type: 'boolean' },
    'claims-in-token': { type: 'boolean' },
    'rewrite-nonce': { type: 'boolean' },
    'expired-tokens': { type: 'boolean' },
    'other-person': { type: 'boolean' },
  },
});
const library = pathToFileURL(`${directory}/node_modules/oidc-provider/lib/index.js`);
const { default: Provider } = await import(library);

const accounts = new Map();

function authMethod() {
  if (!switches.secret) return 'none';
  return switches.post ? 'client_secret_post' : 'client_secret_basic';
}

// A key of this process, so that another on the same port signs with another key.
function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

const configuration = {
  clients: [{
    client_id: 'dockway',
    client_secret: switches.secret,
    token_endpoint_auth_method: authMethod(),
    // A native application may come back to any port of the loopback (RFC 8252, section 7.3).
    application_type: 'native',
    redirect_uris: ['corp', 'other'].map((name) => `http://127.0.0.1/api/oidc/${name}/callback`),
  }],
  clientAuthMethods: switches.secret ? [authMethod()] : ['none'],
  jwks: { keys: [signingKey()] },
  cookies: { keys: [randomUUID()] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'nickname'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  conformIdTokenClaims: !switches['claims-in-token'],
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  ttl: switches['expired-tokens'] ? { IdToken: () => -3600 } : {},
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  async findAccount(ctx, id) {
    return { accountId: id, claims: async () => ({ ...accounts.get(id), sub: id }) };
  },
  // Nobody is asked for consent.
  async loadExistingGrant(ctx) {
    const { client, provider, session } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(configuration.scopes.join(' '));
    await grant.save();
    return grant;
  },
};

async function meddle(ctx, next) {
  if (switches['rewrite-nonce'] && ctx.query.nonce) ctx.query = { ...ctx.query, nonce: 'of-another-sign-in' };
  await next();
  if (switches['other-person'] && ctx.oidc?.route === 'userinfo') ctx.body = { ...ctx.body, sub: 'mallory' };
}

async function form(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

// What a person does here.
async function interact(provider, request, response) {
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'text/html');
    response.end('<form method="post"><input name="sub"><input name="claims" value="{}"><button>Sign in</button></form>');
    return;
  }
  const given = await form(request);
  let result = { error: 'access_denied', error_description: 'this person said no' };
  if (!given.has('deny')) {
    accounts.set(given.get('sub'), JSON.parse(given.get('claims')));
    result = { login: { accountId: given.get('sub') }, consent: {} };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const pem = switches.tls && readFileSync(switches.tls);
const server = pem ? createTlsServer({ key: pem, cert: pem }) : createServer();
server.listen(Number(switches.port), '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = pem ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, configuration);
  provider.use(meddle);
  provider.on('server_error', (ctx, error) => console.error('server_error', error));
  const callback = provider.callback();
  server.on('request', (request, response) => {
    if (!request.url.startsWith('/interaction/')) return callback(request, response);
    return interact(provider, request, response).catch((error) => {
      console.error('interaction', error);
      response.writeHead(500).end();
    });
  });
  console.log(`issuer ${issuer}`);
});
