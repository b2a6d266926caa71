/** Runs in every test process: one whose run was killed must not go on alone. */
process.once('disconnect', () => process.exit(1))
