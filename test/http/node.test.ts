import { describeHttp } from './describe-http.ts'
import { nodeFace } from './faces/node.ts'

describeHttp('node:http', nodeFace)
