/**
 * The injection tokens of engine, factory and session, by the name of the module. Nest shows them in the error of a missing import,
 * so they say what to import.
 */
import { InvalidOptionError } from '../../index.js'

export function engineToken(name?: string): string {
  return token('Engine', name)
}

export function sessionFactoryToken(name?: string): string {
  return token('SessionFactory', name)
}

export function sessionToken(name?: string): string {
  return token('Session', name)
}

export function optionsToken(name?: string): string {
  return token('options', name)
}

function token(what: string, name: unknown): string {
  if (name !== undefined && typeof name !== 'string') {
    const message =
      "The name of an engine is a string. A decorator is called: @InjectSession(), @InjectSession('name')"
    throw new InvalidOptionError('name', message)
  }
  const options = name === undefined ? '{ sessionFactory }' : `{ name: '${name}', sessionFactory }`
  return `${what} of lifeguard/nestjs: LifeguardModule.forRoot(${options})`
}
