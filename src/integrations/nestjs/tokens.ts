/** By what Nest finds the engine, the factory and the session of a name. */

export function engineToken(name = 'default'): string {
  return `lifeguard:engine:${name}`
}

export function sessionFactoryToken(name = 'default'): string {
  return `lifeguard:sessionFactory:${name}`
}

export function sessionToken(name = 'default'): string {
  return `lifeguard:session:${name}`
}

export function optionsToken(name = 'default'): string {
  return `lifeguard:options:${name}`
}
