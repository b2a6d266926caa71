/** Where the entities of the service come from. In a file of its own, so that entities and database can both import it. */
import { declarativeBase } from 'lifeguard'

export const Base = declarativeBase()
