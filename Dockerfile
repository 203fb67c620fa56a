# syntax=docker/dockerfile:1
# The image of the service: web, worker and migrations, by the command and ROLE (docs/deploy.md).
# test/e2e/image.test.ts carries out these very steps in clean folders.

# The Node of the package "node" in package.json; a test holds them together.
FROM node:26.10.0-slim AS base
WORKDIR /app
ENV NODE_ENV=production

# The Prisma CLI comes as an optional peer of its client, makes the client, and is taken away again.
# Without install scripts the package "node" brings no binary: kit/node takes that of the image.
FROM base AS build
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --ignore-scripts
COPY prisma.config.ts ./
COPY prisma prisma
RUN node node_modules/prisma/build/index.js generate
RUN npm prune --omit=dev --omit=optional --ignore-scripts

FROM base AS runtime
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-*
COPY --from=build /app/node_modules node_modules
COPY . .
COPY --from=build /app/prisma/generated prisma/generated
# By number, so that Kubernetes can see that it is not root. Everything in /app is root's.
USER 1000:1000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["kit/node", "kit/health.ts"]
CMD ["kit/start-prod"]
