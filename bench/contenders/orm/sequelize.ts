/** Sequelize with models. It puts values of INSERT into parameters, but has no named statements. */
import {
  DataTypes,
  Model,
  Op,
  Sequelize,
  type CreationOptional,
  type InferAttributes,
  type InferCreationAttributes,
} from 'sequelize'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type Labels } from '../../harness/orm-workloads.js'

class Album extends Model<InferAttributes<Album>, InferCreationAttributes<Album>> {
  declare id: CreationOptional<number>
  declare title: string
}

class Song extends Model<InferAttributes<Song>, InferCreationAttributes<Song>> {
  declare id: CreationOptional<number>
  declare albumId: number | null
  declare title: string
  declare plays: number
  declare explicit: boolean
  declare price: string
  declare labels: Labels
  declare releasedAt: Date
}

export const open: Open = async (url) => {
  const sequelize = new Sequelize(url, {
    dialect: 'postgres',
    logging: false,
    pool: { min: POOL_SIZE, max: POOL_SIZE },
    define: { timestamps: false, freezeTableName: true, underscored: true },
  })
  Album.init(
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      title: { type: DataTypes.TEXT, allowNull: false },
    },
    { sequelize, modelName: 'album' },
  )
  Song.init(
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      albumId: { type: DataTypes.INTEGER },
      title: { type: DataTypes.TEXT, allowNull: false },
      plays: { type: DataTypes.INTEGER, allowNull: false },
      explicit: { type: DataTypes.BOOLEAN, allowNull: false },
      price: { type: DataTypes.DECIMAL(8, 2), allowNull: false },
      labels: { type: DataTypes.JSONB, allowNull: false },
      releasedAt: { type: DataTypes.DATE, allowNull: false },
    },
    { sequelize, modelName: 'song' },
  )

  return ormContender(
    {
      insert: (values) =>
        sequelize.transaction(async (transaction) => (await Song.create({ ...values }, { transaction })).id),
      insertMany: (values) =>
        sequelize.transaction(async (transaction) => {
          const songs = await Song.bulkCreate([...values], { transaction })
          return songs.map(({ id }) => id)
        }),
      change: (ids) =>
        sequelize.transaction(async (transaction) => {
          const songs = await Song.findAll({ where: { id: [...ids] }, transaction })
          for (const song of songs) {
            song.plays = nextPlays(song)
            await song.save({ transaction })
          }
          return songs.length
        }),
      load: (after, count, use) =>
        sequelize.transaction(async (transaction) => {
          const where = { id: { [Op.gt]: after } }
          use(await Song.findAll({ where, order: [['id', 'ASC']], limit: count, transaction }))
        }),
      // `create` with `include` would insert the songs one by one.
      graph: ({ title, songs }) =>
        sequelize.transaction(async (transaction) => {
          const album = await Album.create({ title }, { transaction })
          const children = songs.map((song) => ({ ...song, albumId: album.id }))
          const added = await Song.bulkCreate(children, { transaction })
          return { id: album.id, songIds: added.map(({ id }) => id) }
        }),
      close: () => sequelize.close(),
    },
    url,
  )
}
