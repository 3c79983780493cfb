// A file for each version, so that they run side by side.
import { describeModels } from './describe-model.ts'

describeModels(16)
