import { describeHttp } from './describe-http.ts'
import { nestExpressFace, nestFastifyFace } from './faces/nest.ts'

describeHttp('Nest on Express', nestExpressFace, { http2: false })
describeHttp('Nest on Fastify', nestFastifyFace, { http2: false })
