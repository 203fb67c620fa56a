// What the jobs of this service run on: the one place that names it. A recipe that brings another changes this line.
export { driver } from './pg-boss/driver.ts'
