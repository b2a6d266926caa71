/** `app/health/route.ts` of Next.js: 200 if the database answers. */
import { db } from '../../db'

export const GET = db.health
