// Data to start with: products and an admin. Running it again adds what is
// missing and leaves alone what is there. `npm run db:seed`
import { PrismaPg } from '@prisma/adapter-pg'
import { loadConfig } from '../plugins/config/index.ts'
import { ensureAdmin } from '../services/users.ts'
import { DataDirError, borrowEmbedded } from './engine/embedded.ts'
import { PrismaClient } from './generated/client.ts'

type Entry = [sku: string, name: string, description: string, cents: number, stock: number]

const products: Entry[] = [
  ['KB-TKL-87', 'Tenkeyless mechanical keyboard', 'Hot-swappable tactile switches, PBT keycaps, USB-C.', 8990, 120],
  ['KB-SPL-58', 'Split ergonomic keyboard', '58 keys in two halves, tenting from 0 to 30 degrees.', 18900, 35],
  ['MS-VRT-01', 'Vertical mouse', 'Keeps the wrist in a handshake position. Wireless, rechargeable.', 4490, 200],
  ['MS-TRB-02', 'Trackball', 'Finger-operated 44 mm ball, four buttons.', 5990, 80],
  ['MN-27-4K', '27 inch 4K monitor', 'IPS, 99 % sRGB, 90 W power delivery over USB-C.', 42900, 40],
  ['MN-34-UW', '34 inch ultrawide monitor', '3440 × 1440, curved, built-in KVM switch.', 51900, 22],
  ['AR-MON-01', 'Monitor arm', 'Gas spring, for 2 to 9 kg, VESA 75 and 100.', 7900, 150],
  ['HS-ANC-03', 'Noise-cancelling headphones', 'Over-ear, 40 hours of battery, foldable.', 22900, 65],
  ['HS-OPN-01', 'Open-back headphones', 'Wired, 250 ohm, for mixing and mastering.', 14900, 30],
  ['WC-1080', 'Full HD webcam', '1080p at 60 fps, privacy shutter.', 6990, 90],
  ['MC-USB-01', 'USB condenser microphone', 'Cardioid, with stand and pop filter.', 9900, 55],
  ['LT-DSK-05', 'LED desk lamp', 'Dimmable, 2700 to 6500 kelvin, CRI above 95.', 5490, 110],
  ['LT-BAR-01', 'Monitor light bar', 'Lights the desk and not the screen.', 4990, 140],
  ['DK-USB4-1', 'USB4 docking station', 'Two displays, 2.5 gigabit Ethernet, 11 ports.', 24900, 45],
  ['HB-USBC-7', 'USB-C hub, 7 in 1', 'HDMI, card reader, three USB-A, 100 W pass-through.', 3990, 300],
  ['CB-USBC-2', 'USB-C cable, 2 m', '240 W, 40 Gbit/s, braided.', 1990, 1000],
  ['CB-CAT6-5', 'Network cable Cat 6, 5 m', 'Shielded, snagless plugs.', 890, 800],
  ['SD-NV-2T', 'NVMe SSD, 2 TB', 'PCIe 4.0, 7000 MB/s reads, five years of warranty.', 13900, 75],
  ['SD-EX-1T', 'Portable SSD, 1 TB', 'USB 3.2, shock-proof, hardware encryption.', 9490, 95],
  ['CH-ERG-09', 'Ergonomic chair', 'Mesh back, adjustable lumbar support and armrests.', 38900, 18],
  ['DK-SIT-16', 'Standing desk, 160 × 80 cm', 'Electric, two motors, 62 to 128 cm, four memories.', 54900, 12],
  ['MT-DSK-XL', 'Desk mat XL', 'Wool felt, 90 × 40 cm, anti-slip back.', 3490, 160],
  ['BG-LAP-16', 'Laptop backpack', '22 litres, fits 16 inch, recycled polyester.', 7490, 70],
  ['NB-DOT-A5', 'Dotted notebook A5', '160 numbered pages, 120 g/m² paper.', 1690, 500]
]

/** Who the admin is; without both there will be none. */
export interface SeedOptions { adminEmail?: string, adminPassword?: string }

/**
 * Adds the products and the admin that are missing. What is there stays as it is:
 * products that were changed, and the admin's password.
 * @returns how many products were added, and what became of the admin
 */
export async function seed (prisma: PrismaClient, { adminEmail, adminPassword }: SeedOptions): Promise<{ products: number, admin: 'created' | 'present' | 'skipped' }> {
  const { count } = await prisma.product.createMany({
    data: products.map(([sku, name, description, priceAmount, stock]) => ({ sku, name, description, priceAmount, priceCurrency: 'EUR', stock })),
    skipDuplicates: true
  })
  if (adminEmail === undefined || adminPassword === undefined) return { products: count, admin: 'skipped' }
  const created = await ensureAdmin(prisma, { email: adminEmail, password: adminPassword })
  return { products: count, admin: created ? 'created' : 'present' }
}

async function main (): Promise<void> {
  const { DATABASE_URL, DATA_DIR, ADMIN_EMAIL, ADMIN_PASSWORD } = loadConfig()
  const embedded = DATABASE_URL === undefined ? await borrowEmbedded(DATA_DIR) : undefined
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: embedded?.url ?? DATABASE_URL }) })
  try {
    const { products, admin } = await seed(prisma, { adminEmail: ADMIN_EMAIL, adminPassword: ADMIN_PASSWORD })
    const about = { created: `admin ${ADMIN_EMAIL} created`, present: `${ADMIN_EMAIL} is there already`, skipped: 'no admin: set ADMIN_EMAIL and ADMIN_PASSWORD for one' }
    console.log(`Seed: ${products} products added, ${about[admin]}.`)
  } finally {
    await prisma.$disconnect()
    await embedded?.close()
  }
}

if (import.meta.main) {
  try {
    await main()
  } catch (error) {
    const isExpected = error instanceof DataDirError || (error as Error).name === 'ConfigError'
    console.error(isExpected ? (error as Error).message : error)
    process.exitCode = 1
  }
}
