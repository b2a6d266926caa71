/** The injection tokens of engine, factory and session, by the name of the module. */

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
